//! Which sources a target has at the moment: pure.

use std::collections::{BTreeMap, BTreeSet};

use proto::error::{Error, Kind};
use proto::ids::{AllocId, JobKey};
use proto::model::{Desired, JobType, StopReason};

use super::LogsQuery;
use crate::core::state::{Alloc, State};
use crate::ops::find::{self, Target};
use crate::ops::views;

/// A source: an allocation's task that has started at least once, and one of its streams.
#[derive(Clone, Debug)]
pub(super) struct Source<'s> {
    pub(super) alloc: &'s Alloc,
    pub(super) task: &'s str,
    pub(super) stderr: bool,
}

/// Returns the sources of a target: by group, slot, task and stream; of every slot its newest allocation.
pub(super) fn sources<'s>(state: &'s State, target: &Target, query: &LogsQuery) -> Vec<Source<'s>> {
    let both = query.stdout == query.stderr;
    let streams: Vec<bool> =
        [false, true].into_iter().filter(|stderr| both || *stderr == query.stderr).collect();
    let mut found = Vec::new();
    for alloc in allocs(state, target) {
        let asked = |name: &str| query.task.is_empty() || query.task == name;
        let mut tasks: Vec<&str> = alloc
            .tasks
            .iter()
            .filter(|task| task.attempt > 0 && asked(&task.name))
            .map(|task| task.name.as_str())
            .collect();
        tasks.sort_unstable();
        for task in tasks {
            found.extend(streams.iter().map(|stderr| Source { alloc, task, stderr: *stderr }));
        }
    }
    found
}

fn allocs<'s>(state: &'s State, target: &Target) -> Vec<&'s Alloc> {
    match target {
        Target::Alloc(id) => state.allocs.get(*id).into_iter().collect(),
        Target::Slot(key, group, index) => {
            let of_slot = |alloc: &&Alloc| *alloc.group == **group && alloc.index == *index;
            newest_of_slots(find::all_of(state, key).filter(of_slot))
        }
        Target::Job(key) => {
            let groups = state.jobs.get(key).map(|record| record.current().job.clone());
            let kept = |alloc: &&Alloc| {
                let given_up = alloc.desired == Desired::Stop(StopReason::ScaledDown);
                let known = groups.as_ref().is_some_and(|job| job.groups.contains_key(&*alloc.group));
                !alloc.has_ended() || (known && !given_up)
            };
            newest_of_slots(find::all_of(state, key).filter(kept))
        }
    }
}

fn newest_of_slots<'s>(allocs: impl Iterator<Item = &'s Alloc>) -> Vec<&'s Alloc> {
    let mut slots: BTreeMap<(&str, u32), &Alloc> = BTreeMap::new();
    for alloc in allocs {
        let newest = slots.entry((&alloc.group, alloc.index)).or_insert(alloc);
        if alloc.id > newest.id {
            *newest = alloc;
        }
    }
    slots.into_values().collect()
}

/// Returns whether more output may come than from the sources of the moment.
pub(super) fn more_may_come(state: &State, target: &Target) -> bool {
    let job = |key: &JobKey| state.jobs.get(key);
    match target {
        Target::Alloc(id) => state.allocs.get(*id).is_some_and(|alloc| !alloc.has_ended()),
        Target::Slot(key, ..) | Target::Job(key) => job(key).is_some_and(|record| {
            let batch = record.current().job.kind == JobType::Batch;
            let complete = batch && views::tally(state, record).values().all(views::Tally::is_complete);
            // A lost allocation may live for ever on a machine that never comes back.
            let here = |id: &AllocId| state.allocs.get(*id).is_some_and(|alloc| !alloc.lost);
            record.live.iter().any(here) || !(record.stopped || complete)
        }),
    }
}

/// Checks that the target has a task of that name; an empty one means all.
pub(super) fn check_task(state: &State, target: &Target, task: &str) -> Result<(), Error> {
    if task.is_empty() {
        return Ok(());
    }
    let key = match target {
        Target::Alloc(id) => state.allocs.get(*id).map(|alloc| alloc.job.as_ref().clone()),
        Target::Slot(key, ..) | Target::Job(key) => Some(key.clone()),
    };
    let Some(record) = key.as_ref().and_then(|key| state.jobs.get(key)) else { return Ok(()) };
    let described = record.versions.iter().flat_map(|version| version.job.groups.values());
    let described = described.flat_map(|group| group.tasks.keys().map(String::as_str));
    let names: BTreeSet<&str> = described.collect();
    if names.contains(task) {
        return Ok(());
    }
    let error = Error::new(Kind::NotFound, format!("job `{}` has no task `{task}`", record.key));
    Err(error.hint(format!("it has {}", Vec::from_iter(names).join(", "))))
}

#[cfg(test)]
mod tests {
    use proto::model::AllocState;

    use super::*;
    use crate::ops::testing::{World, batch, job};

    fn names(world: &World, target: &Target, query: &LogsQuery) -> Vec<String> {
        let shown = |source: Source<'_>| {
            let stream = if source.stderr { "err" } else { "out" };
            format!("{} {} {stream} {}", source.alloc.id.0, source.task, source.alloc.index)
        };
        sources(&world.state, target, query).into_iter().map(shown).collect()
    }

    #[test]
    fn a_job_has_the_newest_allocation_of_every_slot_also_an_ended_one() {
        let mut world = World::new(2);
        world.put(&job("web", 2));
        let (first, second) = (world.place("web", 0, 1), world.place("web", 1, 2));
        let target = Target::Job(JobKey::new("default", "web"));
        assert!(names(&world, &target, &LogsQuery::default()).is_empty(), "nothing has started");
        world.healthy(first);
        world.healthy(second);
        world.lose(2);
        let third = world.place("web", 1, 1);
        world.healthy(third);
        let only_out = LogsQuery { stdout: true, ..LogsQuery::default() };
        let (a, c) = (first.0, third.0);
        assert_eq!(names(&world, &target, &only_out), [format!("{a} web out 0"), format!("{c} web out 1")]);
        assert_eq!(names(&world, &target, &LogsQuery::default()).len(), 4);
    }

    #[test]
    fn following_ends_when_nothing_more_can_come() {
        let mut world = World::new(1);
        world.put(&batch("sum", 1));
        let key = JobKey::new("default", "sum");
        let target = Target::Job(key);
        assert!(more_may_come(&world.state, &target));
        let id = world.place("sum", 0, 1);
        world.healthy(id);
        assert!(more_may_come(&world.state, &Target::Alloc(id)));
        let task = world.state.allocs.get(id).expect("it").tasks.to_vec();
        world.report(id, AllocState::Complete, task);
        assert!(!more_may_come(&world.state, &target), "its work is done");
        assert!(!more_may_come(&world.state, &Target::Alloc(id)));
        world.put(&job("web", 1));
        let web = Target::Job(JobKey::new("default", "web"));
        assert!(more_may_come(&world.state, &web), "a service may be placed at any time");
        world.stop("web");
        assert!(!more_may_come(&world.state, &web));
    }

    #[test]
    fn a_wrong_task_is_refused_with_the_right_ones() {
        let mut world = World::new(1);
        world.put(&job("web", 1));
        let target = Target::Job(JobKey::new("default", "web"));
        assert_eq!(check_task(&world.state, &target, "web"), Ok(()));
        let error = check_task(&world.state, &target, "wb").expect_err("refused");
        assert_eq!((error.kind, error.hint.as_str()), (Kind::NotFound, "it has web"));
    }
}
