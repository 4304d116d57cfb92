//! Leases of nodes: kept in the leader's memory, on the clock that counts suspend. Only their end is committed.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::ids::{Generation, NodeId};
use proto::model::Liveness;
use proto::time::BootTime;

use crate::core::state::{LivenessChange, NodeRecord, State};
use crate::limits::RESTORED_NODES_WITHIN;

/// How often leases are looked at while one of them is near its end: what a loss is told late by, at most.
const TICK: Duration = Duration::from_millis(100);
/// How often while none is: an idle server sleeps.
const NAP: Duration = Duration::from_secs(1);
/// What is near. More than a nap: a pause of this process that no look has noticed is over by then, and its heartbeats are read.
const NEAR: Duration = Duration::from_millis(1500);

/// The leases that a leader has granted.
#[derive(Clone, Debug)]
pub struct Leases {
    until: BTreeMap<NodeId, (Generation, BootTime)>,
    next_look: BootTime,
}

impl Leases {
    /// Begins a reign: every node that was up gets one fresh lease, and no more.
    #[must_use]
    pub fn begin(state: &State, now: BootTime) -> Self {
        let up = state.nodes.iter().filter(|(_, node)| node.liveness == Liveness::Up);
        let until =
            up.map(|(id, node)| (*id, (node.generation, now.plus(first_lease(state, node))))).collect();
        Self { until, next_look: now.plus(TICK) }
    }

    /// Renews the lease of a node's session. An older session's heartbeat renews nothing. A lease may become shorter by it: when
    /// leases shall be shorter from now on, the answer to this heartbeat tells the agent to send the next one soon enough.
    pub fn renew(&mut self, node: NodeId, generation: Generation, now: BootTime, timeout: Duration) {
        let lease = self.until.entry(node).or_insert((generation, now));
        if generation >= lease.0 {
            *lease = (generation, now.plus(timeout));
        }
    }

    /// Returns when to look again: soon while a lease is near its end, else after a nap. A registration that comes meanwhile begins
    /// with a whole lease.
    #[must_use]
    pub const fn next_look(&self) -> BootTime {
        self.next_look
    }

    /// Returns the nodes that are up and have been silent for half of a lease at least. One that answers has been for a heartbeat, a third of it, at
    /// most.
    #[must_use]
    pub fn silent(&self, state: &State, now: BootTime) -> Vec<NodeId> {
        let soon = now.plus(state.settings.node_timeout / 2);
        let is_up = |id: &NodeId| state.nodes.get(id).is_some_and(|node| node.liveness == Liveness::Up);
        let leases = self.until.iter().filter(|(_, (_, until))| *until <= soon);
        leases.map(|(id, _)| *id).filter(is_up).collect()
    }

    /// Returns the nodes whose lease has run out.
    ///
    /// When this is called late - the process was paused, the machine suspended - every lease is extended by the lateness: the
    /// heartbeats of that time are still to be read.
    pub fn decide(&mut self, state: &State, now: BootTime) -> Vec<LivenessChange> {
        let late = now.since(self.next_look);
        if late > TICK {
            self.until.values_mut().for_each(|(_, until)| *until = until.plus(late));
        }
        // A lease of an earlier session says nothing about this one: a node may have returned since the last look.
        self.until.retain(|id, lease| {
            state
                .nodes
                .get(id)
                .is_some_and(|node| node.liveness == Liveness::Up && node.generation == lease.0)
        });
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
        let first = self.until.values().map(|(_, until)| until.since(now)).min();
        let nap = first.map_or(NAP, |left| left.saturating_sub(NEAR).clamp(TICK, NAP));
        self.next_look = now.plus(nap);
        ended
    }
}

/// How long a node may be silent at the beginning of a reign. One that has not been heard of since a restore may have to find the
/// servers first: what it runs must not be replaced meanwhile.
fn first_lease(state: &State, node: &NodeRecord) -> Duration {
    let timeout = state.settings.node_timeout;
    match state.restored {
        Some(restored) if node.registered <= restored.revision => {
            timeout.max(RESTORED_NODES_WITHIN.saturating_sub(state.now.since(restored.at)))
        }
        _ => timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::World;

    const SECOND: Duration = Duration::from_secs(1);

    fn ticks(leases: &mut Leases, world: &World, from: BootTime, to: BootTime) -> Option<BootTime> {
        let mut now = from;
        while now < to {
            now = leases.next_look().max(now.plus(Duration::from_millis(1)));
            if !leases.decide(&world.state, now).is_empty() {
                return Some(now);
            }
        }
        None
    }

    #[test]
    fn a_silent_node_is_lost_when_its_lease_is_over_and_not_before() {
        let world = World::new(1);
        let begin = BootTime(1_000_000);
        let mut leases = Leases::begin(&world.state, begin);
        let lost = ticks(&mut leases, &world, begin, begin.plus(10 * SECOND));
        assert_eq!(lost, Some(begin.plus(4 * SECOND)));
    }

    #[test]
    fn heartbeats_keep_a_node_and_those_of_an_older_session_do_not() {
        let mut world = World::new(1);
        let (begin, timeout) = (BootTime(1_000_000), 4 * SECOND);
        let mut leases = Leases::begin(&world.state, begin);
        let mut now = begin;
        for _ in 0..10 {
            leases.renew(world.node(0), Generation(1), now, timeout);
            assert_eq!(ticks(&mut leases, &world, now, now.plus(SECOND)), None);
            now = now.plus(SECOND);
        }
        world.register(0, vec![]);
        leases.renew(world.node(0), Generation(2), now, timeout);
        let registered = now;
        for _ in 0..3 {
            leases.renew(world.node(0), Generation(1), now, timeout);
            assert_eq!(ticks(&mut leases, &world, now, now.plus(SECOND)), None);
            now = now.plus(SECOND);
        }
        assert_eq!(ticks(&mut leases, &world, now, now.plus(5 * SECOND)), Some(registered.plus(timeout)));
    }

    #[test]
    fn a_shorter_lease_begins_with_the_next_heartbeat() {
        let world = World::new(1);
        let begin = BootTime(1_000_000);
        let mut leases = Leases::begin(&world.state, begin);
        let now = begin.plus(SECOND);
        assert_eq!(ticks(&mut leases, &world, begin, now), None);
        leases.renew(world.node(0), Generation(1), now, SECOND);
        let lost = ticks(&mut leases, &world, now, now.plus(10 * SECOND)).expect("it is lost");
        let late = lost.since(now.plus(SECOND));
        assert!(late <= NAP, "{late:?} late: the look that was due before the change is the last late one");
    }

    #[test]
    fn nobody_is_looked_at_often_while_all_answer() {
        let world = World::new(3);
        let begin = BootTime(1_000_000);
        let mut leases = Leases::begin(&world.state, begin);
        let (mut looks, mut now) = (0, begin);
        while now < begin.plus(60 * SECOND) {
            for node in 0..3 {
                leases.renew(world.node(node), Generation(1), now, 4 * SECOND);
            }
            now = leases.next_look();
            assert_eq!(leases.decide(&world.state, now), []);
            looks += 1;
        }
        assert!(looks <= 62, "{looks} looks in a minute");
    }

    #[test]
    fn a_loop_that_was_paused_loses_nobody_for_it() {
        let world = World::new(3);
        let begin = BootTime(1_000_000);
        let mut leases = Leases::begin(&world.state, begin);
        ticks(&mut leases, &world, begin, begin.plus(SECOND));
        let woken = begin.plus(60 * SECOND);
        assert_eq!(leases.decide(&world.state, woken), []);
        assert!(
            ticks(&mut leases, &world, woken, woken.plus(5 * SECOND)).is_some(),
            "the lease goes on from there"
        );
    }

    #[test]
    fn a_node_that_has_just_returned_is_not_judged_by_its_earlier_lease() {
        let mut world = World::new(1);
        let begin = BootTime(1_000_000);
        let mut leases = Leases::begin(&world.state, begin);
        let nearly = begin.plus(4 * SECOND);
        ticks(&mut leases, &world, begin, BootTime(nearly.0 - 100));
        world.register(0, vec![]);
        assert_eq!(leases.decide(&world.state, nearly), [], "its registration was committed a moment ago");
    }
}
