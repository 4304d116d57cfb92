//! What is due of a node that is being drained: its deadline, what goes last, its end.
//!
//! Moving what is replaced elsewhere first is the scheduler's: it has to find the places.

use proto::time::Timestamp;

use super::{Rule, Step};
use crate::core::state::{DrainStep, Due, Kind, State};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Draining;

impl Rule for Draining {
    fn decide(&self, state: &State, now: Timestamp) -> Step {
        let mut step = Step::default();
        for node in state.nodes.draining() {
            match state.drain_due(*node, now) {
                Due::Later(None) => {}
                Due::Later(Some(at)) => step.wake_at = Some(step.wake_at.map_or(at, |wake| wake.min(at))),
                Due::Stop { .. } | Due::Complete => {
                    step.proposals.push(Kind::DrainNode { node: *node, step: DrainStep::Advance });
                }
            }
        }
        step
    }
}
