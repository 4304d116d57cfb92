//! Leases of nodes: kept in the leader's memory, on the clock that counts suspend. Only their end is committed.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::ids::{Generation, NodeId};
use proto::model::Liveness;
use proto::time::BootTime;

use crate::core::state::{LivenessChange, State};

/// How often the loop looks at the leases.
pub const TICK: Duration = Duration::from_millis(100);

/// The leases that a leader has granted.
#[derive(Clone, Debug)]
pub struct Leases {
    until: BTreeMap<NodeId, (Generation, BootTime)>,
    last_tick: BootTime,
}

impl Leases {
    /// Begins a reign: every node that was up gets one fresh lease, and no more.
    #[must_use]
    pub fn begin(state: &State, now: BootTime) -> Self {
        let up = state.nodes.iter().filter(|(_, node)| node.liveness == Liveness::Up);
        let until =
            up.map(|(id, node)| (*id, (node.generation, now.plus(state.settings.node_timeout)))).collect();
        Self { until, last_tick: now }
    }

    /// Renews the lease of a node's session. An older session's heartbeat renews nothing.
    pub fn renew(&mut self, node: NodeId, generation: Generation, now: BootTime, timeout: Duration) {
        let lease = self.until.entry(node).or_insert((generation, now));
        if generation >= lease.0 {
            *lease = (generation, now.plus(timeout).max(lease.1));
        }
    }

    /// Returns the nodes whose lease has run out.
    ///
    /// When this is called late - the process was paused, the machine suspended - every lease is extended by the lateness: the
    /// heartbeats of that time are still to be read.
    pub fn decide(&mut self, state: &State, now: BootTime) -> Vec<LivenessChange> {
        let late = now.since(self.last_tick.plus(TICK));
        self.last_tick = now;
        if late > TICK {
            self.until.values_mut().for_each(|(_, until)| *until = until.plus(late));
        }
        self.until.retain(|id, _| state.nodes.get(id).is_some_and(|node| node.liveness == Liveness::Up));
        let timeout = state.settings.node_timeout;
        let mut ended = Vec::new();
        for (id, node) in state.nodes.iter().filter(|(_, node)| node.liveness == Liveness::Up) {
            // A node that registered since the last look begins with a whole lease.
            let (_, until) = *self.until.entry(*id).or_insert((node.generation, now.plus(timeout)));
            if until <= now {
                ended.push(LivenessChange {
                    node: *id,
                    generation: node.generation,
                    liveness: Liveness::Down,
                });
            }
        }
        ended
    }
}
