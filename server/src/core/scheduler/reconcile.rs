//! What a job lacks and has too much of, without a thought about where.
//!
//! A slot is an index of a group. Stopping allocations still run, so they fill their slot until their end is known: a group never
//! runs more than its count. Lost ones fill nothing: they are replaced at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use proto::ids::{AllocId, JobVersion, NodeId};
use proto::model::{Desired, Group, JobType, StopReason};
use proto::time::Timestamp;

use super::dependencies;
use crate::core::state::{Alloc, GroupState, JobRecord, PlanStop, PlanUpdate, State};

/// How many allocations of an older version may be down at once while a newer one takes their place.
const MAX_PARALLEL: usize = 1;

/// An index of a group and what fills it.
type Place = (u32, AllocId);

/// What a group needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupWork {
    pub(super) group: String,
    pub(super) place: Vec<Want>,
    pub(super) stop: Vec<PlanStop>,
    pub(super) update: Vec<PlanUpdate>,
    /// When a failed slot is due.
    pub(super) wake_at: Option<Timestamp>,
    /// How many allocations must not begin yet, those that would replace older work included.
    pub(super) held: u32,
    /// For what they wait.
    pub(super) waits_for: String,
}

/// A slot that wants an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) index: u32,
    /// The node where it failed: another is better.
    pub(super) avoid: Option<NodeId>,
    /// The node where a person asked for a restart: no other is better.
    pub(super) prefer: Option<NodeId>,
}

/// Compares what a job wants with what it has.
pub(super) fn reconcile(state: &State, record: &JobRecord, now: Timestamp) -> Vec<GroupWork> {
    let live: Vec<&Alloc> = record.live.iter().filter_map(|id| state.allocs.get(*id)).collect();
    let job = &record.current().job;
    let mut groups: BTreeSet<&str> = live.iter().map(|alloc| alloc.group.as_ref()).collect();
    groups.extend(job.groups.keys().map(String::as_str));
    let work = |name: &str| {
        let allocs: Vec<&Alloc> = live.iter().copied().filter(|alloc| alloc.group.as_ref() == name).collect();
        match job.groups.get(name) {
            Some(group) if !record.stopped => GroupView::new(record, name, group, &allocs).work(state, now),
            Some(_) => stop_all(name, &allocs, StopReason::JobStopped),
            None => stop_all(name, &allocs, StopReason::ScaledDown),
        }
    };
    groups.into_iter().map(work).collect()
}

fn stop_all(name: &str, allocs: &[&Alloc], reason: StopReason) -> GroupWork {
    let wanted = allocs.iter().filter(|alloc| alloc.desired == Desired::Run);
    let stop = wanted.map(|alloc| PlanStop { alloc: alloc.id, reason }).collect();
    GroupWork { group: name.to_owned(), stop, ..GroupWork::default() }
}

/// A group of a running job with its allocations that have not ended.
struct GroupView<'a> {
    record: &'a JobRecord,
    group: &'a Group,
    name: &'a str,
    version: JobVersion,
    work: JobVersion,
    /// Older work gives way together.
    at_once: bool,
    remembered: &'a GroupState,
    /// Wanted, in all, less what is done.
    target: usize,
    /// Fill their slots as they should.
    active: Vec<&'a Alloc>,
    /// Told to end, and still there.
    stopping: Vec<&'a Alloc>,
}

static NOTHING: std::sync::LazyLock<GroupState> = std::sync::LazyLock::new(GroupState::default);

impl<'a> GroupView<'a> {
    fn new(record: &'a JobRecord, name: &'a str, group: &'a Group, allocs: &[&'a Alloc]) -> Self {
        let version = record.current();
        let remembered = record.group(name).unwrap_or(&NOTHING);
        let present = allocs.iter().copied().filter(|alloc| !alloc.lost);
        let (active, stopping) = present.partition(|alloc| alloc.desired == Desired::Run);
        Self {
            record,
            group,
            name,
            version: version.version,
            work: version.work.get(name).copied().unwrap_or(version.version),
            at_once: version.job.kind == JobType::Batch || version.at_once,
            remembered,
            target: (group.count as usize).saturating_sub(remembered.done.len()),
            active,
            stopping,
        }
    }

    fn work(mut self, state: &State, now: Timestamp) -> GroupWork {
        let mut work = GroupWork { group: self.name.to_owned(), ..GroupWork::default() };
        self.stop_doubles(&mut work);
        self.scale_down(&mut work);
        let waits_for = self.waits_for(state);
        if waits_for.is_empty() {
            self.replace_outdated(&mut work);
        } else {
            let outdated = self.active.iter().filter(|alloc| alloc.work != self.work).count();
            work.held = u32::try_from(outdated).unwrap_or(u32::MAX);
        }
        self.take_over(&mut work);
        self.fill(&mut work, now);
        if !waits_for.is_empty() {
            self.hold_back(&mut work, state);
        }
        if work.held > 0 {
            work.waits_for = waits_for;
        }
        work
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
    fn hold_back(&self, work: &mut GroupWork, state: &State) {
        let begun = dependencies::begun(state, self.record, self.name, self.work);
        let before = work.place.len();
        work.place
            .retain(|want| self.remembered.failed.contains_key(&want.index) || begun.contains(&want.index));
        work.held += u32::try_from(before - work.place.len()).unwrap_or(u32::MAX);
    }

    /// Two of one slot: the younger goes.
    fn stop_doubles(&mut self, work: &mut GroupWork) {
        let mut seen = BTreeSet::new();
        let doubles: BTreeSet<AllocId> =
            self.active.iter().filter(|alloc| !seen.insert(alloc.index)).map(|alloc| alloc.id).collect();
        self.stop_all(&doubles, StopReason::ScaledDown, work);
    }

    /// Unhealthy ones first, then those that would be replaced anyway, then excess on one node; of equals the highest index.
    fn scale_down(&mut self, work: &mut GroupWork) {
        let surplus = self.active.len().saturating_sub(self.target);
        if surplus == 0 {
            return;
        }
        let is_outdated = |alloc: &Alloc| alloc.work != self.work;
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

    /// Takes allocations out of the active ones and orders their end.
    fn stop_all(&mut self, victims: &BTreeSet<AllocId>, reason: StopReason, work: &mut GroupWork) {
        let (gone, active) = self.active.iter().partition(|alloc| victims.contains(&alloc.id));
        self.active = active;
        let gone: Vec<&Alloc> = gone;
        work.stop.extend(gone.iter().map(|alloc| PlanStop { alloc: alloc.id, reason }));
        self.stopping.extend(gone);
    }

    /// Work of an older version gives way: what is not healthy at once, the rest one by one as replacements get healthy and after
    /// what is on its way out, also because fewer are wanted, has ended; all of it
    /// at once when a person asked for that, and in batch jobs, which serve nobody meanwhile.
    fn replace_outdated(&mut self, work: &mut GroupWork) {
        let outdated: Vec<&Alloc> =
            self.active.iter().copied().filter(|alloc| alloc.work != self.work).collect();
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

    /// Same work, newer version: the running allocation takes it over.
    fn take_over(&self, work: &mut GroupWork) {
        let older =
            self.active.iter().filter(|alloc| alloc.work == self.work && alloc.version < self.version);
        work.update.extend(older.map(|alloc| PlanUpdate { alloc: alloc.id, version: self.version }));
    }

    /// Failed slots first, each when it is due; then the lowest free indexes.
    fn fill(&self, work: &mut GroupWork, now: Timestamp) {
        let mut room = self.target.saturating_sub(self.active.len() + self.stopping.len());
        let mut used: BTreeSet<u32> =
            self.active.iter().chain(&self.stopping).map(|alloc| alloc.index).collect();
        used.extend(self.remembered.done.iter());
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
                    work.place.push(Want { index: *index, avoid: Some(slot.node), prefer: None });
                }
                Some(due) => work.wake_at = Some(work.wake_at.map_or(due, |at| at.min(due))),
                None => {}
            }
        }
        let free = (0u32..).filter(|index| !used.contains(index)).take(room);
        let restarts = &self.remembered.restarts;
        let prefer = |index: &u32| restarts.get(index).map(|one| one.node);
        work.place.extend(free.map(|index| Want { index, avoid: None, prefer: prefer(&index) }));
    }
}
