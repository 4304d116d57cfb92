//! What a group with a count lacks, and has too much of.

use std::collections::BTreeSet;

use proto::ids::{AllocId, NodeId};
use proto::model::Desired;
use server::core::state::{Alloc, JobRecord, State};

use super::{depends, moves, present};

/// A slot that wants an allocation.
pub struct Want {
    pub index: u32,
    /// Where it failed.
    pub avoid: Option<NodeId>,
    /// Where a person restarted it.
    pub prefer: Option<NodeId>,
    /// The node that it is for.
    pub only: Option<NodeId>,
}

#[derive(Default)]
pub struct Lack {
    pub wants: Vec<Want>,
    pub stops: BTreeSet<AllocId>,
    /// How many must not begin yet, those that would replace older work included.
    pub held: u32,
    /// Nodes lack it: older work elsewhere gives way when it is known how many of them have no room.
    pub goes_on: bool,
}

/// The allocations of a group.
pub struct Has<'s> {
    /// Wanted.
    pub active: Vec<&'s Alloc>,
    /// Told to end, and still there.
    pub stopping: Vec<&'s Alloc>,
}

impl Has<'_> {
    pub fn of<'s>(state: &'s State, record: &'s JobRecord, group: &'s str) -> Has<'s> {
        let (active, stopping) =
            present(state, record, group).partition(|alloc| alloc.desired == Desired::Run);
        Has { active, stopping }
    }

    pub fn stop(&mut self, id: AllocId, lack: &mut Lack) {
        let at = self.active.iter().position(|alloc| alloc.id == id).unwrap();
        self.stopping.push(self.active.remove(at));
        lack.stops.insert(id);
    }

    /// Older work gives way: what is not healthy at once; the rest one by one, the next when all others are healthy and nothing is on
    /// its way out; all of it at once where it serves nobody meanwhile or a person said so.
    pub fn replace_older(
        &mut self,
        record: &JobRecord,
        group: &str,
        target: usize,
        may_go: impl Fn(&Alloc) -> bool,
        lack: &mut Lack,
    ) {
        let version = record.current();
        let at_once = version.at_once || version.job.groups[group].kind.has_an_end();
        let older = |alloc: &Alloc| alloc.work != version.work[group] && may_go(alloc);
        let healthy = self.active.iter().filter(|alloc| alloc.healthy).count();
        let mut may_one_go = healthy >= target && self.stopping.is_empty();
        let ids: Vec<(AllocId, bool)> =
            self.active.iter().filter(|alloc| older(alloc)).map(|alloc| (alloc.id, alloc.healthy)).collect();
        for (id, is_healthy) in ids {
            // Only one of those that are healthy uses up the turn.
            if at_once || !is_healthy || std::mem::take(&mut may_one_go) {
                self.stop(id, lack);
            }
        }
    }
}

impl Lack {
    pub fn of(state: &State, record: &JobRecord, group: &str) -> Self {
        let mut lack = Self::default();
        let mut has = Has::of(state, record, group);
        let leaving = moves::take_leaving(&mut has);
        let memory = record.group(group).cloned().unwrap_or_default();
        let spec = &record.current().job.groups[group];
        let target = (spec.count as usize).saturating_sub(memory.done.len());
        // Of two of a slot that moves one may have done its work: the other has nothing to do.
        let done = has.active.iter().filter(|alloc| memory.done.contains(&alloc.index)).map(|alloc| alloc.id);
        done.collect::<Vec<AllocId>>().into_iter().for_each(|id| has.stop(id, &mut lack));
        while has.active.len() > target {
            let id = least_wanted(state, &has.active, record.current().work[group]);
            has.stop(id, &mut lack);
        }
        moves::end(state, spec, &leaving, &mut has, &mut lack);
        let work = record.current().work[group];
        let is_complete = has.active.len() == target && has.active.iter().all(|alloc| alloc.work == work);
        let must_wait = !is_complete && !depends::are_met(state, record, group);
        if must_wait {
            lack.held += has.active.iter().filter(|alloc| alloc.work != work).count() as u32;
        } else {
            has.replace_older(record, group, target, |_| true, &mut lack);
        }
        let filled: BTreeSet<u32> = has.active.iter().chain(&has.stopping).map(|alloc| alloc.index).collect();
        let mut free = target.saturating_sub(filled.len());
        // Slots that failed come first, each when its time has come.
        let failed = memory.failed.iter().filter(|(index, _)| !filled.contains(*index));
        for (index, slot) in failed.filter(|(index, _)| !memory.done.contains(*index)) {
            if free == 0 {
                break;
            }
            free -= 1;
            if slot.due.is_some_and(|due| due <= state.now) {
                lack.wants.push(Want { index: *index, avoid: Some(slot.node), prefer: None, only: None });
            }
        }
        // Then the lowest that are free.
        let is_free = |index: &u32| {
            !filled.contains(index) && !memory.done.contains(index) && !memory.failed.contains_key(index)
        };
        for index in (0u32..).filter(is_free).take(free) {
            let prefer = memory.restarts.get(&index).map(|one| one.node);
            lack.wants.push(Want { index, avoid: None, prefer, only: None });
        }
        lack.hold(state, record, group, must_wait);
        moves::begin(state, record, group, &leaving, &has, &mut lack);
        lack
    }

    /// What must wait holds back those slots that have not had their turn.
    pub fn hold(&mut self, state: &State, record: &JobRecord, group: &str, must_wait: bool) {
        if must_wait {
            let before = self.wants.len();
            self.wants.retain(|want| depends::has_begun(state, record, group, want.index));
            self.held += (before - self.wants.len()) as u32;
        }
    }
}

/// What goes first when fewer are wanted: what is not healthy, then older work and what is on a node that is drained, then excess on one
/// node; of equals the highest index.
fn least_wanted(state: &State, active: &[&Alloc], work: proto::ids::JobVersion) -> AllocId {
    let goes_anyway = |alloc: &Alloc| alloc.work != work || moves::drain_of(state, alloc).is_some();
    let is_good = |alloc: &Alloc| alloc.healthy && !goes_anyway(alloc);
    let beside =
        |alloc: &Alloc| active.iter().filter(|other| other.node == alloc.node && is_good(other)).count();
    let merit = |alloc: &Alloc| {
        let excess = if is_good(alloc) { beside(alloc) } else { 0 };
        (!alloc.healthy, goes_anyway(alloc), excess, alloc.index)
    };
    active.iter().max_by_key(|alloc| merit(alloc)).unwrap().id
}
