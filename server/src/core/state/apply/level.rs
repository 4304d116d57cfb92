//! New behaviour begins.

use proto::model::{EventKind, Subject};

use crate::core::state::events::Fact;
use crate::core::state::{Changes, Outcome, State};

impl State {
    /// Raises the level; it never goes back. What `apply` does otherwise from a level on asks for it.
    pub(super) fn raise_level(&mut self, level: u32, changes: &mut Changes) -> Outcome {
        if level > self.level {
            self.level = level;
            let said = format!("all servers know version {level} of the state: what is new in it begins");
            self.record(changes, Fact::info(EventKind::LevelRaised, Subject::default(), said));
        }
        Outcome::Done
    }
}
