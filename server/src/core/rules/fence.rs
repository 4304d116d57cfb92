//! When the fence of a lost allocation has certainly run out, so that its replacement may start.
//!
//! Leader and agent each measure with a clock of their own that counts suspend. The agent's deadline is counted from when a heartbeat was
//! sent; the leader counts from when the last one arrived that it has acknowledged, which is later.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::ids::NodeId;
use proto::time::BootTime;

/// What a wait is longer than its fence, beside the share for the rates of two clocks: until a kill has been carried out.
const MARGIN: Duration = Duration::from_secs(1);
/// Two clocks differ by less than one part in so many.
const RATE: u32 = 50;

/// Returns how long after a heartbeat that was acknowledged nothing of the allocation runs any more.
#[must_use]
pub fn wait_out(fence: Duration) -> Duration {
    fence.saturating_add(fence / RATE).saturating_add(MARGIN)
}

/// What a leader knows of the heartbeats that it has acknowledged for fences. The default knows that all fences have run out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fences {
    /// When the reign began: leaders before have acknowledged nothing that arrived later.
    pub begun: BootTime,
    /// When the last heartbeat arrived of each node that this reign has acknowledged.
    pub heard: BTreeMap<NodeId, BootTime>,
    /// None: all fences have run out.
    pub now: Option<BootTime>,
}

impl Fences {
    /// Returns how long what a lost node has may still run under its fence; none: it does not any more.
    #[must_use]
    pub fn left(&self, node: NodeId, fence: Duration) -> Option<Duration> {
        let heard = self.heard.get(&node).copied().unwrap_or(self.begun);
        let over = heard.max(self.begun).plus(wait_out(fence));
        Some(over.since(self.now?)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FENCE: Duration = Duration::from_secs(10);
    const NODE: NodeId = NodeId(7);

    fn at(seconds_ms: u64, heard: &[(NodeId, u64)]) -> Fences {
        let heard = heard.iter().map(|(node, at)| (*node, BootTime(*at))).collect();
        Fences { begun: BootTime(1_000), heard, now: Some(BootTime(seconds_ms)) }
    }

    #[test]
    fn a_replacement_waits_from_the_last_heartbeat_that_was_acknowledged() {
        let due = 20_000 + 10_200 + 1_000;
        let left = |now| at(now, &[(NODE, 20_000)]).left(NODE, FENCE);
        assert_eq!(left(20_000), Some(Duration::from_millis(11_200)));
        assert_eq!(left(due - 1), Some(Duration::from_millis(1)));
        assert_eq!(left(due), None);
    }

    #[test]
    fn a_new_leader_waits_from_the_beginning_of_its_reign() {
        let fences = at(2_000, &[(NodeId(8), 1_900)]);
        assert_eq!(fences.left(NODE, FENCE), Some(Duration::from_millis(10_200)));
        assert_eq!(at(12_200, &[]).left(NODE, FENCE), None);
    }

    #[test]
    fn who_knows_nothing_of_fences_waits_for_none() {
        assert_eq!(Fences::default().left(NODE, FENCE), None);
    }
}
