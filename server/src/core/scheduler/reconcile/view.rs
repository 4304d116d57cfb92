//! A group beside what it has, and what every kind of group does with it: doubles go, older work gives way, newer versions are
//! taken over.

use std::collections::BTreeSet;

use proto::ids::{AllocId, JobVersion};
use proto::model::{Desired, Group, StopReason};
use proto::time::Timestamp;

use super::GroupWork;
use super::fenced::Fenced;
use crate::core::scheduler::dependencies;
use crate::core::state::{Alloc, GroupState, JobRecord, PlanStop, PlanUpdate, State};

/// How many allocations of an older version may be down at once while a newer one takes their place.
const MAX_PARALLEL: usize = 1;

/// A group of a running job with its allocations that have not ended.
pub(super) struct GroupView<'a> {
    record: &'a JobRecord,
    pub(super) group: &'a Group,
    pub(super) name: &'a str,
    version: JobVersion,
    pub(super) work: JobVersion,
    /// Older work gives way together.
    at_once: bool,
    pub(super) remembered: &'a GroupState,
    /// Wanted, in all, less what is done.
    pub(super) target: usize,
    /// Fill their slots as they should.
    pub(super) active: Vec<&'a Alloc>,
    /// Told to end, and still there.
    pub(super) stopping: Vec<&'a Alloc>,
    /// Run beside the younger ones that fill their slots, or are told to end by now; see `moves`.
    pub(super) leaving: Vec<&'a Alloc>,
    /// Slots of what is on nodes that do not answer.
    pub(super) lost: Vec<u32>,
    /// Slots of lost ones whose fence may still hold.
    pub(super) fences: Vec<Fenced<'a>>,
    /// Slots of lost ones that the brake holds, and until when.
    pub(super) brakes: Vec<(u32, Timestamp)>,
}

static NOTHING: std::sync::LazyLock<GroupState> = std::sync::LazyLock::new(GroupState::default);

impl<'a> GroupView<'a> {
    pub(super) fn new(record: &'a JobRecord, name: &'a str, group: &'a Group, allocs: &[&'a Alloc]) -> Self {
        let version = record.current();
        let remembered = record.group(name).unwrap_or(&NOTHING);
        let present = allocs.iter().copied().filter(|alloc| !alloc.lost);
        let (leaving, filling): (Vec<&Alloc>, Vec<&Alloc>) =
            present.partition(|alloc| !record.leaving.is_empty() && record.is_leaving(alloc));
        let (active, stopping) = filling.into_iter().partition(|alloc| alloc.desired == Desired::Run);
        Self {
            record,
            group,
            name,
            version: version.version,
            work: version.work.get(name).copied().unwrap_or(version.version),
            at_once: group.kind.has_an_end() || version.at_once,
            remembered,
            target: (group.count as usize).saturating_sub(remembered.done.len()),
            active,
            stopping,
            leaving,
            lost: allocs.iter().filter(|alloc| alloc.lost).map(|alloc| alloc.index).collect(),
            fences: Vec::new(),
            brakes: Vec::new(),
        }
    }

    /// Two of one slot: the younger goes.
    pub(super) fn stop_doubles(&mut self, work: &mut GroupWork) {
        let mut seen = BTreeSet::new();
        let doubles: BTreeSet<AllocId> =
            self.active.iter().filter(|alloc| !seen.insert(alloc.index)).map(|alloc| alloc.id).collect();
        self.stop_all(&doubles, StopReason::ScaledDown, work);
    }

    /// Takes allocations out of the active ones and orders their end.
    pub(super) fn stop_all(&mut self, victims: &BTreeSet<AllocId>, reason: StopReason, work: &mut GroupWork) {
        let (gone, active) = self.active.iter().partition(|alloc| victims.contains(&alloc.id));
        self.active = active;
        let gone: Vec<&Alloc> = gone;
        work.stop.extend(gone.iter().map(|alloc| PlanStop { alloc: alloc.id, reason }));
        self.stopping.extend(gone);
    }

    /// Work of an older version gives way: what is not healthy at once, the rest one by one as replacements get healthy and after
    /// what is on its way out, also because fewer are wanted, has ended; all of it at once when a person asked for that, and in
    /// batch jobs, which serve nobody meanwhile. What may not give way stays.
    pub(super) fn replace_outdated(&mut self, may_go: impl Fn(&Alloc) -> bool, work: &mut GroupWork) {
        let outdated: Vec<&Alloc> =
            self.active.iter().copied().filter(|alloc| alloc.work != self.work && may_go(alloc)).collect();
        let healthy = self.active.iter().filter(|alloc| alloc.healthy).count();
        let down = self.target.saturating_sub(healthy).max(self.stopping.len());
        let mut budget = MAX_PARALLEL.saturating_sub(down);
        let mut victims = BTreeSet::new();
        for alloc in outdated {
            let at_once = self.at_once || !alloc.healthy;
            if at_once || budget > 0 {
                budget -= usize::from(!at_once);
                victims.insert(alloc.id);
            }
        }
        self.stop_all(&victims, StopReason::Replaced, work);
    }

    /// Lets older work give way, unless what is to take its place must wait: returns for what.
    pub(super) fn replace_unless_held(
        &mut self,
        state: &State,
        may_go: impl Fn(&Alloc) -> bool,
        work: &mut GroupWork,
    ) -> String {
        let waits_for = self.hold_outdated(state, work);
        if waits_for.is_empty() {
            self.replace_outdated(may_go, work);
        }
        waits_for
    }

    /// Holds older work back where what is to take its place must wait: returns for what.
    pub(super) fn hold_outdated(&self, state: &State, work: &mut GroupWork) -> String {
        let waits_for = self.waits_for(state);
        if !waits_for.is_empty() {
            let outdated = self.active.iter().filter(|alloc| alloc.work != self.work).count();
            work.held = u32::try_from(outdated).unwrap_or(u32::MAX);
        }
        waits_for
    }

    /// Says for what new work waits, where there is some to begin; empty when it may.
    fn waits_for(&self, state: &State) -> String {
        let is_complete =
            self.active.len() >= self.target && self.active.iter().all(|alloc| alloc.work == self.work);
        if self.group.depends_on.is_empty() || is_complete {
            return String::new();
        }
        dependencies::wait_of(state, self.record, self.group)
    }

    /// Takes back what would be the first of its slot.
    pub(super) fn hold_back(&self, waits_for: String, work: &mut GroupWork, state: &State) {
        if waits_for.is_empty() {
            return;
        }
        let begun = dependencies::begun(state, self.record, self.name, self.work);
        let before = work.place.len();
        work.place
            .retain(|want| self.remembered.failed.contains_key(&want.index) || begun.contains(&want.index));
        work.held += u32::try_from(before - work.place.len()).unwrap_or(u32::MAX);
        if work.held > 0 {
            work.waits_for = waits_for;
        }
    }

    /// Same work, newer version: the running allocation takes it over.
    pub(super) fn take_over(&self, work: &mut GroupWork) {
        let running = self.active.iter().chain(self.leaving.iter().filter(|old| old.desired == Desired::Run));
        let older = running.filter(|alloc| alloc.work == self.work && alloc.version < self.version);
        work.update.extend(older.map(|alloc| PlanUpdate { alloc: alloc.id, version: self.version }));
    }
}
