//! What a group lacks of its count, and has beyond it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use proto::ids::{AllocId, NodeId};
use proto::model::StopReason;
use proto::time::Timestamp;

use super::view::GroupView;
use super::{GroupWork, Want};
use crate::core::state::{Alloc, State};

/// An index of a group and what fills it.
type Place = (u32, AllocId);

impl GroupView<'_> {
    /// Compares a count with what there is.
    pub(super) fn work(mut self, state: &State, now: Timestamp) -> GroupWork {
        let mut work = GroupWork { group: self.name.to_owned(), ..GroupWork::default() };
        self.stop_doubles(&mut work);
        self.stop_done(&mut work);
        self.scale_down(state, &mut work);
        self.end_moves(state, &mut work, now);
        let waits_for = self.replace_unless_held(state, |_| true, &mut work);
        self.take_over(&mut work);
        self.fill(state, &mut work, now);
        self.hold_back(waits_for, &mut work, state);
        self.begin_moves(state, &mut work, now);
        work
    }

    /// Of two of a slot that moves one has done its work: the other has nothing to do.
    fn stop_done(&mut self, work: &mut GroupWork) {
        if self.remembered.done.is_empty() {
            return;
        }
        let done = self.active.iter().filter(|alloc| self.remembered.done.contains(&alloc.index));
        let done: BTreeSet<AllocId> = done.map(|alloc| alloc.id).collect();
        self.stop_all(&done, StopReason::ScaledDown, work);
    }

    /// Unhealthy ones first, then those that would be replaced or moved anyway, then excess on one node; of equals the highest index.
    fn scale_down(&mut self, state: &State, work: &mut GroupWork) {
        let surplus = self.active.len().saturating_sub(self.target);
        if surplus == 0 {
            return;
        }
        let drained = self.drained(state);
        let is_outdated = |alloc: &Alloc| alloc.work != self.work || drained.contains(&alloc.id);
        let mut first: Vec<&Alloc> =
            self.active.iter().copied().filter(|alloc| !alloc.healthy || is_outdated(alloc)).collect();
        first.sort_by_key(|alloc| (alloc.healthy, Reverse(is_outdated(alloc)), Reverse(alloc.index)));
        first.truncate(surplus);
        // The fullest node gives its highest index, again and again.
        let mut nodes: BTreeMap<NodeId, Vec<Place>> = BTreeMap::new();
        for alloc in self.active.iter().filter(|alloc| alloc.healthy && !is_outdated(alloc)) {
            nodes.entry(alloc.node).or_default().push((alloc.index, alloc.id));
        }
        nodes.values_mut().for_each(|slots| slots.sort_unstable());
        let mut fullest: BinaryHeap<(usize, Option<Place>, NodeId)> =
            nodes.iter().map(|(node, slots)| (slots.len(), slots.last().copied(), *node)).collect();
        let mut victims: BTreeSet<AllocId> = first.into_iter().map(|alloc| alloc.id).collect();
        while victims.len() < surplus
            && let Some((_, Some((_, highest)), node)) = fullest.pop()
        {
            victims.insert(highest);
            let Some(slots) = nodes.get_mut(&node) else { continue };
            slots.pop();
            fullest.push((slots.len(), slots.last().copied(), node));
        }
        self.stop_all(&victims, StopReason::ScaledDown, work);
    }

    /// Failed slots first, each when it is due; then the lowest free indexes.
    fn fill(&self, state: &State, work: &mut GroupWork, now: Timestamp) {
        let mut room = self.target.saturating_sub(self.active.len() + self.stopping.len());
        let mut used: BTreeSet<u32> =
            self.active.iter().chain(&self.stopping).map(|alloc| alloc.index).collect();
        used.extend(self.remembered.done.iter());
        room -= self.wait_for_fences(state, &mut used, room, work, now);
        room -= self.wait_for_brake(state, &mut used, room, work);
        for (index, slot) in &self.remembered.failed {
            if room == 0 {
                return;
            }
            if !used.insert(*index) {
                continue;
            }
            room -= 1;
            match slot.due {
                Some(due) if due <= now => {
                    work.place.push(Want { avoid: Some(slot.node), ..Want::of(*index) });
                }
                Some(due) => work.wake_by(due),
                None => {}
            }
        }
        let free = (0u32..).filter(|index| !used.contains(index)).take(room);
        let restarts = &self.remembered.restarts;
        let prefer = |index: &u32| restarts.get(index).map(|one| one.node);
        work.place.extend(free.map(|index| Want { prefer: prefer(&index), ..Want::of(index) }));
    }
}
