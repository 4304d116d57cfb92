//! What a group lacks that runs once on every node that is right for it, and has where it should not be.

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::{AllocId, NodeId};
use proto::model::{Desired, StopReason};
use proto::time::Timestamp;

use super::view::GroupView;
use super::{GroupWork, Want};
use crate::core::scheduler::everywhere::Everywhere;
use crate::core::state::{Alloc, PlanStop, State};

/// On a node that takes no work what runs is better than nothing.
fn may_go(state: &State) -> impl Fn(&Alloc) -> bool {
    |alloc| state.nodes.get(&alloc.node).is_some_and(|node| node.takes_work())
}

impl GroupView<'_> {
    /// Compares the nodes that are right for the group with those that have it.
    pub(super) fn work_per_node(
        mut self,
        state: &State,
        everywhere: &Everywhere<'_>,
        now: Timestamp,
    ) -> GroupWork {
        let mut work = GroupWork { group: self.name.to_owned(), ..GroupWork::default() };
        self.keep_leaving();
        self.stop_unsuitable(everywhere, &mut work);
        self.stop_seconds(&mut work);
        let lacking = self.lacking(everywhere);
        self.target = self.active.len() + self.stopping.len() + lacking.len();
        let waits_for = match lacking.is_empty() {
            true => self.replace_unless_held(state, may_go(state), &mut work),
            false => self.hold_outdated(state, &mut work),
        };
        // What has no room on its node must not hold back the others: how many that are is known when places were looked for.
        let is_rollout = self.active.iter().any(|alloc| alloc.work != self.work);
        work.goes_on_later = is_rollout && !lacking.is_empty() && waits_for.is_empty();
        self.take_over(&mut work);
        work.is_nowhere = self.active.is_empty()
            && self.stopping.is_empty()
            && self.remembered.done.is_empty()
            && lacking.is_empty();
        self.fill_nodes(state, &lacking, &mut work, now);
        self.hold_back(waits_for, &mut work, state);
        work
    }

    /// Returns which older work gives way, now that `without_room` of the nodes that lack the group are known to have none for it.
    pub(super) fn go_on_per_node(
        mut self,
        state: &State,
        everywhere: &Everywhere<'_>,
        without_room: usize,
    ) -> Vec<PlanStop> {
        self.keep_leaving();
        let mut known = GroupWork::default();
        self.stop_unsuitable(everywhere, &mut known);
        self.stop_seconds(&mut known);
        let filled = self.active.len() + self.stopping.len();
        self.target = (filled + self.lacking(everywhere).len()).saturating_sub(without_room);
        let mut work = GroupWork::default();
        self.replace_outdated(may_go(state), &mut work);
        work.stop
    }

    /// Nothing of such a group moves. What began to when the group had a count is as any other.
    fn keep_leaving(&mut self) {
        let leaving = std::mem::take(&mut self.leaving);
        let (run, stop): (Vec<&Alloc>, Vec<&Alloc>) =
            leaving.into_iter().partition(|alloc| alloc.desired == Desired::Run);
        self.active.extend(run);
        self.stopping.extend(stop);
    }

    fn stop_unsuitable(&mut self, everywhere: &Everywhere<'_>, work: &mut GroupWork) {
        let unsuitable = self.active.iter().filter(|alloc| !everywhere.is_for(alloc.node));
        let unsuitable: BTreeSet<AllocId> = unsuitable.map(|alloc| alloc.id).collect();
        self.stop_all(&unsuitable, StopReason::NodeUnsuitable, work);
    }

    /// Two on one node, as after a time when the group had a count: older work goes, of the same work the younger.
    fn stop_seconds(&mut self, work: &mut GroupWork) {
        let mut order: Vec<&Alloc> = self.active.clone();
        order.sort_by_key(|alloc| (alloc.work != self.work, alloc.id));
        let mut nodes = BTreeSet::new();
        let seconds = order.iter().filter(|alloc| !nodes.insert(alloc.node)).map(|alloc| alloc.id).collect();
        self.stop_all(&seconds, StopReason::ScaledDown, work);
    }

    /// Returns the nodes that take work, are right, have nothing of the group and have not done its work.
    fn lacking(&self, everywhere: &Everywhere<'_>) -> Vec<NodeId> {
        let here: BTreeSet<NodeId> =
            self.active.iter().chain(&self.stopping).map(|alloc| alloc.node).collect();
        let slots = &self.remembered.node_slots;
        let is_done = |node| slots.slot_of(node).is_some_and(|slot| self.remembered.done.contains(&slot));
        let open = everywhere.open().filter(|node| !here.contains(node) && !is_done(*node));
        open.collect()
    }

    /// Every node gets the slot that it had; a new one the lowest that is free, in the order of their names.
    fn fill_nodes(&self, state: &State, lacking: &[NodeId], work: &mut GroupWork, now: Timestamp) {
        let slots = &self.remembered.node_slots;
        let (known, mut new): (Vec<NodeId>, Vec<NodeId>) =
            lacking.iter().partition(|node| slots.slot_of(**node).is_some());
        // In the order of the slots: where nodes stand in the columns says nothing.
        let known: BTreeMap<u32, NodeId> =
            known.into_iter().filter_map(|node| Some((slots.slot_of(node)?, node))).collect();
        for (index, node) in known {
            self.fill_slot(index, node, work, now);
        }
        new.sort_by_cached_key(|id| (state.nodes.get(id).map(|node| node.identity.name.clone()), *id));
        let present = self.active.iter().chain(&self.stopping).map(|alloc| alloc.index);
        let taken: BTreeSet<u32> = present.chain(self.lost.iter().copied()).collect();
        let mut free = (0u32..).filter(|index| slots.node_of(*index).is_none() && !taken.contains(index));
        for node in new {
            let Some(index) = free.next() else { return };
            self.fill_slot(index, node, work, now);
        }
    }

    fn fill_slot(&self, index: u32, node: NodeId, work: &mut GroupWork, now: Timestamp) {
        // A node that cannot start this work is not asked again before the work changes, or a person says so.
        if self.remembered.avoid.contains(&node) {
            return;
        }
        match self.remembered.failed.get(&index).map(|slot| slot.due) {
            Some(None) => {}
            Some(Some(due)) if due > now => work.wake_by(due),
            _ => work.place.push(Want::only(index, node)),
        }
    }
}
