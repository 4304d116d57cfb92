//! How allocations leave a node that is drained: the replacement is placed first, and what it replaces ends when it is healthy.
//!
//! A slot that moves has two allocations, the younger fills it. At most `migrate.max_parallel` slots of a group move at once.

use std::collections::BTreeSet;

use proto::ids::AllocId;
use proto::model::{Desired, StopReason};
use proto::time::Timestamp;

use super::view::GroupView;
use super::{GroupWork, Want};
use crate::core::state::{Alloc, PlanStop, State};

/// What becomes of a slot that moves.
enum Next {
    /// The old one ends.
    Leave,
    /// The new one ends, and the old one stays.
    Stay,
    /// Nothing before then.
    Wait(Timestamp),
}

/// Returns whether what fills a slot ends because the slot is not wanted any more, whoever fills it; else the old one has it again, and is
/// looked at as any other. What is told so only by this decision, before moves are looked at, is not wanted either.
fn is_unwanted(new: &Alloc) -> bool {
    matches!(new.desired, Desired::Run | Desired::Stop(StopReason::ScaledDown))
}

impl GroupView<'_> {
    /// Looks at what moves: old ones end whose replacement is well, replacements end that are not in time or not needed any more.
    pub(super) fn end_moves(&mut self, state: &State, work: &mut GroupWork, now: Timestamp) {
        let moving = self.leaving.iter().copied().filter(|old| old.desired == Desired::Run);
        let moving: Vec<&Alloc> = moving.collect();
        let mut stay = BTreeSet::new();
        for old in moving {
            let fills = |new: &&Alloc| new.index == old.index;
            if let Some(new) = self.active.iter().copied().find(fills) {
                match self.next_of(new, state.nodes.is_draining(old.node), now) {
                    Next::Leave => work.stop.push(PlanStop { alloc: old.id, reason: StopReason::Drained }),
                    Next::Stay => drop(stay.insert(new.id)),
                    Next::Wait(at) => work.wake_by(at),
                }
            } else if self.stopping.iter().copied().find(fills).is_some_and(is_unwanted) {
                work.stop.push(PlanStop { alloc: old.id, reason: StopReason::ScaledDown });
            }
        }
        self.stop_all(&stay, StopReason::NotMoved, work);
    }

    fn next_of(&self, new: &Alloc, is_draining: bool, now: Timestamp) -> Next {
        let pace = &self.group.migrate;
        let well_at = new.running_since.filter(|_| new.healthy).map(|at| at.plus(pace.min_healthy_time));
        match well_at {
            Some(at) if at <= now => return Next::Leave,
            Some(at) => return Next::Wait(at),
            None if !is_draining => return Next::Stay,
            None => {}
        }
        let in_time = new.created_at.plus(pace.healthy_deadline);
        if in_time <= now { Next::Stay } else { Next::Wait(in_time) }
    }

    /// Begins to move what is on nodes that are drained, the oldest drain first. What ends by itself may do so; what is of older
    /// work gives way to newer work as it would anywhere.
    pub(super) fn begin_moves(&self, state: &State, work: &mut GroupWork, now: Timestamp) {
        if state.nodes.draining().is_empty() || self.group.kind.has_an_end() {
            return;
        }
        // What is more than wanted ends first: beside that apply lets nothing begin.
        if self.active.len() + self.stopping.len() > self.group.count as usize {
            return;
        }
        // Of what ends first, what is on its way out moves too.
        let moving = self.leaving.len() + if self.group.has_fence() { self.stopping.len() } else { 0 };
        let budget = (self.group.migrate.max_parallel as usize).saturating_sub(moving);
        let is_moving = |alloc: &Alloc| self.leaving.iter().any(|old| old.index == alloc.index);
        let here = |alloc: &&Alloc| {
            alloc.work == self.work && state.nodes.is_draining(alloc.node) && !is_moving(alloc)
        };
        let mut order: Vec<&Alloc> = self.active.iter().copied().filter(here).collect();
        let begun = |alloc: &Alloc| {
            let node = state.nodes.get(&alloc.node);
            node.and_then(|node| node.drain.as_ref()).map(|drain| drain.begun)
        };
        order.sort_by_key(|alloc| (begun(alloc), alloc.node, alloc.id));
        let before = work.place.len();
        for alloc in order {
            if work.place.len() - before >= budget {
                break;
            }
            // A replacement that failed is followed by another when that is due; after the last of them the old one stays until the
            // deadline.
            match self.remembered.failed.get(&alloc.index).map(|slot| (slot.due, slot.node)) {
                None => work.place.push(Want::of(alloc.index)),
                Some((Some(due), node)) if due <= now => {
                    work.place.push(Want { avoid: Some(node), ..Want::of(alloc.index) });
                }
                Some((Some(due), _)) => work.wake_by(due),
                Some((None, _)) => {}
            }
        }
        work.moves = work.place.len() - before;
        let moving: BTreeSet<u32> = work.place[before..].iter().map(|want| want.index).collect();
        let fenced = self.active.iter().filter(|alloc| alloc.fence.is_some() || self.group.has_fence());
        let fenced = fenced.filter(|alloc| moving.contains(&alloc.index));
        work.leave_first = fenced.map(|alloc| (alloc.index, alloc.id)).collect();
    }

    /// The allocations whose node is drained.
    pub(super) fn drained(&self, state: &State) -> BTreeSet<AllocId> {
        let drained = self.active.iter().filter(|alloc| state.nodes.is_draining(alloc.node));
        drained.map(|alloc| alloc.id).collect()
    }
}
