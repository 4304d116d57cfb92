//! The promises, one per file, looked at after every command and at the end.

use server::core::state::{Applied, Command, State};

use crate::i1_capacity::Capacity;
use crate::i2_count::Count;
use crate::i3_forward::Forward;
use crate::i5_absence::Absence;
use crate::i9_acknowledged::Acknowledged;
use crate::never_twice::Twice;
use crate::reigns::Reigns;
use crate::sim::Broken;

/// All promises that are looked at while a cluster runs.
#[derive(Default)]
pub struct Laws {
    pub capacity: Capacity,
    pub count: Count,
    pub forward: Forward,
    pub absence: Absence,
    pub acknowledged: Acknowledged,
    pub twice: Twice,
    pub reigns: Reigns,
}

/// One command, and what it did.
pub struct Step<'a> {
    pub before: &'a State,
    pub command: &'a Command,
    pub applied: &'a Applied,
    pub after: &'a State,
}

impl Laws {
    /// Looks at one applied command.
    pub fn judge(
        &mut self,
        before: &State,
        command: &Command,
        applied: &Applied,
        after: &State,
    ) -> Result<(), Broken> {
        let step = Step { before, command, applied, after };
        self.capacity.step(&step)?;
        self.count.step(&step)?;
        self.forward.step(&step)?;
        self.acknowledged.step(&step)?;
        self.twice.step(&step)?;
        self.reigns.step(&step)?;
        let found = after.check();
        match found.first() {
            None => Ok(()),
            Some(first) => Err(Broken { law: "state_check", what: first.to_string() }),
        }
    }
}

/// Says that a promise is broken unless it holds.
pub fn must(law: &'static str, holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { law, what: otherwise() }) }
}
