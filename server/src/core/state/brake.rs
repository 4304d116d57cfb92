//! The brake: what was lost with many nodes at once is not replaced at once.
//!
//! Many nodes that fall silent together are more often a network that is cut, or a room without power, than machines that are gone. Work that is
//! begun anew then runs twice, overloads what is left, and is ended when the nodes are back.

use std::time::Duration;

use proto::ids::NodeId;
use proto::time::Timestamp;

/// Between two steps after the pause.
const STEP: Duration = Duration::from_secs(10);
/// In how many steps at most everything is let go.
const STEPS: usize = 20;

/// What is held. It ends by a command: of a person, or of the leader when nothing is held any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brake {
    /// Since when.
    pub since: Timestamp,
    /// How many nodes there were.
    pub of: usize,
    /// The nodes that were lost, in the order in which their work is let go. Some may be back.
    pub nodes: Vec<NodeId>,
}

impl Brake {
    /// Returns when the work of a node may be replaced; none: nothing of it is held.
    #[must_use]
    pub fn lets_go_at(&self, node: NodeId, pause: Duration) -> Option<Timestamp> {
        let place = self.nodes.iter().position(|held| *held == node)?;
        Some(self.step_at(place, pause))
    }

    /// Returns when everything may be replaced.
    #[must_use]
    pub fn over_at(&self, pause: Duration) -> Timestamp {
        self.step_at(self.nodes.len().saturating_sub(1), pause)
    }

    /// A twentieth of the nodes in each step, one at least.
    fn step_at(&self, place: usize, pause: Duration) -> Timestamp {
        let at_once = self.nodes.len().div_ceil(STEPS).max(1);
        let steps = u32::try_from(place / at_once).unwrap_or(u32::MAX);
        self.since.plus(pause).plus(STEP.saturating_mul(steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(60);

    fn brake(nodes: u64) -> Brake {
        Brake { since: Timestamp(1_000), of: 100, nodes: (1..=nodes).map(NodeId).collect() }
    }

    #[test]
    fn after_the_pause_a_few_nodes_go_on_one_after_the_other() {
        let goes = |node| brake(4).lets_go_at(NodeId(node), PAUSE);
        assert_eq!(goes(1), Some(Timestamp(61_000)));
        assert_eq!(goes(4), Some(Timestamp(91_000)));
        assert_eq!(goes(5), None, "it was not lost with them");
        assert_eq!(brake(4).over_at(PAUSE), Timestamp(91_000));
    }

    #[test]
    fn of_many_nodes_all_go_on_within_twenty_steps() {
        let last = 61_000 + 19 * 10_000;
        for many in [20, 40, 399, 1_000] {
            assert!(brake(many).over_at(PAUSE) <= Timestamp(last), "{many}");
        }
        assert_eq!(brake(400).over_at(PAUSE), Timestamp(last));
    }
}
