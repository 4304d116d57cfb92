//! What a job lacks and has too much of, without a thought about where.
//!
//! A slot is an index of a group. Stopping allocations still run, so they fill their slot until their end is known: a group never
//! runs more than its count, but for what `migrate` lets move off a drained node at once. Lost ones fill nothing: they are replaced at once,
//! or, where they have a fence, when it has run out; and where many nodes were lost at once, when the brake lets go.

mod braked;
mod counted;
mod fenced;
mod moves;
mod per_node;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::{AllocId, NodeId};
use proto::model::{Desired, StopReason};
use proto::time::Timestamp;

use super::answers::Answers;
use super::everywhere::Everywhere;
use crate::core::rules::fence::Fences;
use crate::core::state::{Alloc, JobRecord, PlanStop, PlanUpdate, State};
use view::GroupView;

/// What a group needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupWork {
    pub(super) group: String,
    pub(super) place: Vec<Want>,
    /// How many of these, the last ones, are for slots whose allocation leaves a drained node.
    pub(super) moves: usize,
    pub(super) stop: Vec<PlanStop>,
    pub(super) update: Vec<PlanUpdate>,
    /// When a failed slot is due.
    pub(super) wake_at: Option<Timestamp>,
    /// How many allocations must not begin yet, those that would replace older work included.
    pub(super) held: u32,
    /// For what they wait.
    pub(super) waits_for: String,
    /// For which fences of lost allocations; empty when for none. These are counted as held, too.
    pub(super) fenced: String,
    /// Why the brake holds lost ones; empty when it holds none. These are counted as held, too.
    pub(super) braked: String,
    /// What ends before its slot, which moves, begins anew, by slot: it has a fence.
    pub(super) leave_first: BTreeMap<u32, AllocId>,
    /// It runs once per node, and older work gives way when it is known how many nodes that lack it have no room: see [`go_on`].
    pub(super) goes_on_later: bool,
    /// It runs once per node, and no node is right for it or takes work.
    pub(super) is_nowhere: bool,
}

impl GroupWork {
    fn wake_by(&mut self, due: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(due, |at| at.min(due)));
    }
}

/// A slot that wants an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) index: u32,
    /// The node where it failed: another is better.
    pub(super) avoid: Option<NodeId>,
    /// The node where a person asked for a restart: no other is better.
    pub(super) prefer: Option<NodeId>,
    /// The only node that it is for.
    pub(super) only: Option<NodeId>,
}

impl Want {
    const fn of(index: u32) -> Self {
        Self { index, avoid: None, prefer: None, only: None }
    }

    const fn only(index: u32, node: NodeId) -> Self {
        Self { index, avoid: None, prefer: None, only: Some(node) }
    }
}

/// Compares what a job wants with what it has.
pub(super) fn reconcile(
    state: &State,
    record: &JobRecord,
    now: Timestamp,
    fences: &Fences,
    answers: &mut Answers,
) -> Vec<GroupWork> {
    let live: Vec<&Alloc> = record.live.iter().filter_map(|id| state.allocs.get(*id)).collect();
    let job = &record.current().job;
    let mut groups: BTreeSet<&str> = live.iter().map(|alloc| alloc.group.as_ref()).collect();
    groups.extend(job.groups.keys().map(String::as_str));
    let mut work = |name: &str| {
        let allocs: Vec<&Alloc> = live.iter().copied().filter(|alloc| alloc.group.as_ref() == name).collect();
        match job.groups.get(name) {
            Some(group) if !record.stopped => {
                let view = GroupView::new(record, name, group, &allocs);
                match group.kind.is_per_node() {
                    true => view.work_per_node(state, &Everywhere::of(state, group, answers), now),
                    false => view.fenced(&allocs, fences).braked(&allocs, state, now).work(state, now),
                }
            }
            Some(_) => stop_all(name, &allocs, StopReason::JobStopped),
            None => stop_all(name, &allocs, StopReason::ScaledDown),
        }
    };
    groups.into_iter().map(&mut work).collect()
}

/// Returns which older work of a group that runs once per node gives way when so many nodes that lack it have no room.
pub(super) fn go_on(
    state: &State,
    record: &JobRecord,
    name: &str,
    without_room: usize,
    answers: &mut Answers,
) -> Vec<PlanStop> {
    let Some(group) = record.current().job.groups.get(name) else { return Vec::new() };
    let live = record.live.iter().filter_map(|id| state.allocs.get(*id));
    let allocs: Vec<&Alloc> = live.filter(|alloc| alloc.group.as_ref() == name).collect();
    let everywhere = Everywhere::of(state, group, answers);
    GroupView::new(record, name, group, &allocs).go_on_per_node(state, &everywhere, without_room)
}

fn stop_all(name: &str, allocs: &[&Alloc], reason: StopReason) -> GroupWork {
    let wanted = allocs.iter().filter(|alloc| alloc.desired == Desired::Run);
    let stop = wanted.map(|alloc| PlanStop { alloc: alloc.id, reason }).collect();
    GroupWork { group: name.to_owned(), stop, ..GroupWork::default() }
}
