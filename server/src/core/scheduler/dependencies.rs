//! What of a group's dependencies is not met, and which of its slots that holds back.
//!
//! A dependency orders beginnings: it holds back what has not begun, and lets go on what has. So a slot whose allocation failed,
//! was restarted by a person or lost its node is filled again whatever its dependencies do: else one dead database would keep
//! everything that once waited for it from healing.

use std::collections::BTreeSet;

use proto::ids::{AllocId, JobKey, JobVersion};
use proto::model::{AllocState, Condition, Dependency, Group};

use super::everywhere::{Wanted, wanted};
use crate::core::state::{Alloc, JobRecord, State};

/// A dependency that is not met, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unmet {
    /// What is waited for, as it is kept: the same until it is met, so that a wait is said once.
    what: String,
    /// How far that is, for who asks at this moment; empty where there is nothing to count.
    how_far: String,
}

impl Unmet {
    fn of(what: impl Into<String>) -> Self {
        Self { what: what.into(), how_far: String::new() }
    }
}

/// Says for what a group waits, without what changes all the time; empty when nothing holds it back.
///
/// Cost: a look at the allocations of every group that is waited for.
pub(super) fn wait_of(state: &State, record: &JobRecord, group: &Group) -> String {
    join(unmet(state, record, group).into_iter().map(|one| one.what))
}

/// Adds to a wait that is kept how far what is waited for is by now.
#[must_use]
pub fn with_progress(state: &State, record: &JobRecord, group: &str, why: &str) -> String {
    let Some(group) = record.current().job.groups.get(group) else { return why.to_owned() };
    let open = unmet(state, record, group).into_iter().filter(|one| !one.how_far.is_empty());
    open.fold(why.to_owned(), |why, one| why.replace(&one.what, &format!("{}: {}", one.what, one.how_far)))
}

/// Returns whether a group may not begin now.
#[must_use]
pub fn is_held(state: &State, record: &JobRecord, group: &str) -> bool {
    let group = record.current().job.groups.get(group);
    group.is_some_and(|group| !unmet(state, record, group).is_empty())
}

/// Returns whether an allocation is of what a group of a job waits for, or has waited for.
pub(super) fn is_on(job: &JobKey, group: &Group, alloc: &Alloc) -> bool {
    group.depends_on.iter().any(|dependency| {
        let name = dependency.job.as_ref().unwrap_or(&job.name);
        let is_group = dependency.group.as_deref().is_none_or(|group| *group == *alloc.group);
        is_group && (&alloc.job.namespace, &alloc.job.name) == (&job.namespace, name)
    })
}

/// Returns the slots of a group that have begun the present work and lost it with a node, or by a person's wish. Those that failed
/// are remembered apart.
pub(super) fn begun(state: &State, record: &JobRecord, group: &str, work: JobVersion) -> BTreeSet<u32> {
    let all = record.live.iter().chain(&record.ended).filter_map(|id| state.allocs.get(*id));
    let lost = all.filter(|alloc| alloc.lost && alloc.work == work && *alloc.group == *group);
    let mut begun: BTreeSet<u32> = lost.map(|alloc| alloc.index).collect();
    begun.extend(record.group(group).into_iter().flat_map(|memory| memory.restarts.keys()));
    begun
}

fn unmet(state: &State, record: &JobRecord, group: &Group) -> Vec<Unmet> {
    group.depends_on.iter().flat_map(|dependency| of_dependency(state, record, dependency)).collect()
}

fn of_dependency(state: &State, record: &JobRecord, dependency: &Dependency) -> Vec<Unmet> {
    let other = match &dependency.job {
        None => Some(record),
        Some(name) => {
            let key = JobKey::new(record.key.namespace.clone(), name.clone());
            state.jobs.get(&key).map(|other| &**other)
        }
    };
    let Some(other) = other else {
        return vec![Unmet::of(format!("waits for {dependency}, which does not exist"))];
    };
    let groups = &other.current().job.groups;
    let meant: Vec<(&String, &Group)> = groups
        .iter()
        .filter(|(name, _)| dependency.group.as_ref().is_none_or(|meant| meant == *name))
        .collect();
    if meant.is_empty() {
        return vec![Unmet::of(format!("waits for {dependency}, which does not exist"))];
    }
    let open: Vec<Progress> = meant
        .iter()
        .filter(|(_, group)| group.count > 0)
        .map(|(name, _)| Progress::of(state, other, name, dependency.condition))
        .collect();
    if open.is_empty() {
        return vec![Unmet::of(format!("waits for {dependency}, which is scaled to 0"))];
    }
    // Work that is done stays done.
    let is_over =
        other.stopped && !(dependency.condition == Condition::Completed && open.iter().all(Progress::is_met));
    if is_over {
        return vec![Unmet::of(format!("waits for {dependency}, which is stopped"))];
    }
    let several = groups.len() > 1;
    let told = |progress: &Progress| {
        let group = Some(progress.group.clone()).filter(|_| dependency.group.is_some() || several);
        progress.told(&Dependency { group, ..dependency.clone() })
    };
    open.iter().filter(|progress| !progress.is_met()).map(told).collect()
}

/// How many allocations of a group are as they must be.
struct Progress {
    group: String,
    wanted: usize,
    ready: usize,
    given_up: usize,
}

impl Progress {
    /// Counts the present work only: what is about to be replaced is not what is waited for.
    fn of(state: &State, record: &JobRecord, name: &str, condition: Condition) -> Self {
        let work = record.current().work.get(name);
        let is_ready = |alloc: &Alloc| match condition {
            Condition::Started => alloc.state == AllocState::Running,
            Condition::Healthy => alloc.healthy,
            Condition::Completed => false,
        };
        let filled = record.filled.get(name).into_iter().flat_map(|slots| slots.iter());
        let one = |id: AllocId| state.allocs.get(id);
        let counts = |alloc: &&Alloc| alloc.is_active() && Some(&alloc.work) == work && is_ready(alloc);
        // What leaves a drained node is what it was until the one that fills its slot is.
        let is_slot_ready = |(index, id): &(&u32, &AllocId)| {
            let old = record.leaving_of(name, **index);
            [Some(**id), old].into_iter().flatten().filter_map(one).any(|alloc| counts(&alloc))
        };
        let memory = record.group(name);
        let Wanted { slots, done } = wanted(state, record, name);
        let given_up =
            memory.map_or(0, |memory| memory.failed.values().filter(|slot| slot.due.is_none()).count());
        let ready = filled.filter(is_slot_ready).count() + done as usize;
        Self { group: name.to_owned(), wanted: slots as usize, ready, given_up }
    }

    const fn is_met(&self) -> bool {
        self.ready >= self.wanted
    }

    fn told(&self, dependency: &Dependency) -> Unmet {
        let Self { wanted, ready, given_up, .. } = self;
        let verb = if *wanted == 1 || *ready == 1 { "is" } else { "are" };
        let failed = match given_up {
            0 => String::new(),
            1 => ", 1 has failed for good".to_owned(),
            more => format!(", {more} have failed for good"),
        };
        Unmet {
            what: format!("waits for {dependency} to be {}", dependency.condition.word()),
            how_far: format!("{ready} of {wanted} {verb}{failed}"),
        }
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    let mut parts: Vec<String> = parts.collect();
    // A job named with and without a group says some things twice.
    let mut seen = BTreeSet::new();
    parts.retain(|part| seen.insert(part.clone()));
    parts.join("; ")
}
