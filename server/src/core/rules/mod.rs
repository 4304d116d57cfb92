//! Leader duties: each looks at the state and the time and says what to propose and when to look again.

pub mod brake;
mod drain;
pub mod fence;
mod gc;
mod health;
pub mod liveness;

pub use brake::Braking;
pub use drain::Draining;
pub use gc::Collect;
pub use health::{Health, MIN_HEALTHY_TIME};

use proto::time::Timestamp;

use super::state::{Kind, State};

/// What a rule wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Commands to propose, in this order.
    pub proposals: Vec<Kind>,
    /// When to decide again even if nothing changes.
    pub wake_at: Option<Timestamp>,
}

/// A leader's duty. Deciding again on the same facts, once what was proposed is applied, proposes nothing.
pub trait Rule {
    /// Decides.
    fn decide(&self, state: &State, now: Timestamp) -> Step;

    /// Returns whether a change of the state is a reason to decide; otherwise only time is.
    fn on_change(&self) -> bool {
        true
    }
}
