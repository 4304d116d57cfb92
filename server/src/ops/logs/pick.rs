//! Which sources a target has at the moment: pure.

use std::collections::{BTreeMap, BTreeSet};

use proto::error::{Error, Kind};
use proto::ids::{AllocId, JobKey, NodeId};
use proto::model::{Desired, StopReason};

use super::{LogsQuery, Piece, Portion, Streams, Wanted};
use crate::core::state::{Alloc, State};
use crate::ops::find::{self, Target};
use crate::ops::views;

/// A source: an allocation's task that has started at least once.
#[derive(Clone, Debug)]
pub(super) struct Source<'s> {
    alloc: &'s Alloc,
    task: &'s str,
    streams: Streams,
    /// Another allocation has its slot.
    pub(super) superseded: bool,
}

impl Source<'_> {
    pub(super) fn key(&self) -> (AllocId, String) {
        (self.alloc.id, self.task.to_owned())
    }

    /// Whether its last byte was written.
    pub(super) fn has_ended(&self) -> bool {
        self.alloc.has_ended()
    }

    pub(super) fn node(&self) -> NodeId {
        self.alloc.node
    }

    /// Returns what a person calls the allocation.
    pub(super) fn name(&self) -> String {
        format!("{}.{}.{}", self.alloc.job.name, self.alloc.group, self.alloc.index)
    }

    pub(super) fn wanted(&self, portion: Portion, follow: bool) -> Wanted {
        let alloc = self.alloc;
        let (task, streams) = (self.task.to_owned(), self.streams);
        Wanted { node: alloc.node, alloc: alloc.id, task, streams, follow, portion, since: None }
    }

    /// Returns a piece of it without content.
    pub(super) fn origin(&self, state: &State) -> Piece {
        Piece {
            alloc: self.alloc.id,
            group: self.alloc.group.to_string(),
            index: self.alloc.index,
            task: self.task.to_owned(),
            node: views::node_name(state, self.alloc.node).into_owned(),
            stderr: self.streams == Streams::Stderr,
            ..Piece::notice(String::new(), false)
        }
    }
}

/// What a target has at the moment.
#[derive(Debug, Default)]
pub(super) struct Found<'s> {
    /// By group, slot, age and task.
    pub(super) sources: Vec<Source<'s>>,
    /// Older allocations with output that are not among them.
    pub(super) left_out: usize,
}

/// Returns the sources of a target: of an allocation itself, of a job or slot those that [`choose`] takes.
pub(super) fn sources<'s>(state: &'s State, target: &Target, query: &LogsQuery) -> Found<'s> {
    let streams = match (query.stdout, query.stderr) {
        (true, false) => Streams::Stdout,
        (false, true) => Streams::Stderr,
        _ => Streams::Both,
    };
    let mut found = Found::default();
    for (alloc, choice) in allocs(state, target, query) {
        let asked = |name: &str| query.task.is_empty() || query.task == name;
        let tasks = alloc.tasks.iter().filter(|task| task.attempt > 0 && asked(&task.name));
        let mut tasks: Vec<&str> = tasks.map(|task| task.name.as_str()).collect();
        tasks.sort_unstable();
        let superseded = match choice {
            Choice::Newest => false,
            Choice::Before => true,
            Choice::LeftOut => {
                found.left_out += usize::from(!tasks.is_empty());
                continue;
            }
        };
        found.sources.extend(tasks.into_iter().map(|task| Source { alloc, task, streams, superseded }));
    }
    found
}

/// What is done with an allocation of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// It is the newest of its slot, and read.
    Newest,
    /// It is read beside a newer one.
    Before,
    /// It is not read.
    LeftOut,
}

fn allocs<'s>(state: &'s State, target: &Target, query: &LogsQuery) -> Vec<(&'s Alloc, Choice)> {
    let (key, slot) = match target {
        Target::Alloc(id) => {
            return state.allocs.get(*id).map(|alloc| (alloc, Choice::Newest)).into_iter().collect();
        }
        Target::Slot(key, group, index) => (key, Some((group.as_str(), *index))),
        Target::Job(key) => (key, None),
    };
    let record = state.jobs.get(key);
    let has_slot = |group: &str, index| {
        let group = record.and_then(|record| record.current().job.groups.get(group));
        group.is_some_and(|group| group.has_slot(index))
    };
    let mut slots: BTreeMap<(&str, u32), Vec<&Alloc>> = BTreeMap::new();
    for alloc in find::all_of(state, key) {
        slots.entry((&alloc.group, alloc.index)).or_default().push(alloc);
    }
    slots.retain(|of, _| slot.is_none_or(|slot| slot == *of));
    let mut found = Vec::new();
    for ((group, index), mut allocs) in slots {
        allocs.sort_unstable_by_key(|alloc| alloc.id);
        let newest = allocs.last().map(|alloc| alloc.desired);
        let given_up =
            matches!(newest, Some(Desired::Stop(StopReason::ScaledDown | StopReason::NodeUnsuitable)));
        let wanted = slot.is_some() || (has_slot(group, index) && !given_up);
        let choices = choose(&allocs, wanted, query);
        found.extend(allocs.into_iter().zip(choices));
    }
    found
}

/// Chooses among the allocations of a slot, the oldest first: the newest, and the one before it where that did the same work, which
/// shows why it was replaced. A follower asks what comes, not what came before. Of a slot that is not wanted any more what still
/// runs is read.
fn choose(allocs: &[&Alloc], wanted: bool, query: &LogsQuery) -> Vec<Choice> {
    let newest = allocs.len().saturating_sub(1);
    let choose = |(at, alloc): (usize, &&Alloc)| {
        let newer = allocs.get(at + 1);
        let same = at + 1 == newest && newer.is_some_and(|newer| newer.work == alloc.work);
        match (at == newest, alloc.has_ended()) {
            (true, false) => Choice::Newest,
            (true, true) if wanted || query.all => Choice::Newest,
            // Both run while one takes over from the other.
            (false, false) if !alloc.lost => Choice::Before,
            (false, _) if query.all || (wanted && same && !query.follow) => Choice::Before,
            _ => Choice::LeftOut,
        }
    };
    allocs.iter().enumerate().map(choose).collect()
}

/// Returns whether more output may come than from the sources of the moment.
pub(super) fn more_may_come(state: &State, target: &Target) -> bool {
    let job = |key: &JobKey| state.jobs.get(key);
    match target {
        Target::Alloc(id) => state.allocs.get(*id).is_some_and(|alloc| !alloc.has_ended()),
        Target::Slot(key, ..) | Target::Job(key) => job(key).is_some_and(|record| {
            let complete = record.current().job.has_an_end()
                && views::tally(state, record).values().all(views::Tally::is_complete);
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

    fn found(world: &World, target: &Target, query: &LogsQuery) -> (Vec<u64>, usize) {
        let found = sources(&world.state, target, query);
        (found.sources.iter().map(|source| source.alloc.id.0).collect(), found.left_out)
    }

    /// A job of two slots that run on nodes 1 and 2.
    fn two_slots() -> (World, Target, [AllocId; 2]) {
        let mut world = World::new(3);
        world.put(&job("web", 2));
        let ids = [world.place("web", 0, 1), world.place("web", 1, 2)];
        let target = Target::Job(JobKey::new("default", "web"));
        assert_eq!(found(&world, &target, &LogsQuery::default()), (vec![], 0), "nothing has started");
        ids.iter().for_each(|id| world.healthy(*id));
        (world, target, ids)
    }

    #[test]
    fn of_every_slot_the_newest_is_read_and_the_one_that_it_replaced() {
        let (mut world, target, [first, second]) = two_slots();
        world.lose(2);
        let third = world.place("web", 1, 1);
        world.healthy(third);
        let query = LogsQuery::default();
        assert_eq!(found(&world, &target, &query), (vec![first.0, second.0, third.0], 0));
        let follow = LogsQuery { follow: true, ..LogsQuery::default() };
        assert_eq!(
            found(&world, &target, &follow),
            (vec![first.0, third.0], 1),
            "a follower asks what comes"
        );
        world.lose(1);
        let fourth = world.place("web", 1, 3);
        world.healthy(fourth);
        assert_eq!(found(&world, &target, &query), (vec![first.0, third.0, fourth.0], 1));
        let all = LogsQuery { all: true, ..LogsQuery::default() };
        assert_eq!(found(&world, &target, &all), (vec![first.0, second.0, third.0, fourth.0], 0));
        assert_eq!(found(&world, &Target::Alloc(second), &query), (vec![second.0], 0), "it is named");
        let superseded = sources(&world.state, &target, &query).sources;
        let superseded: Vec<bool> = superseded.iter().map(|source| source.superseded).collect();
        assert_eq!(superseded, [false, true, false]);
    }

    #[test]
    fn what_is_scaled_away_is_left_out_as_soon_as_it_has_ended() {
        let (mut world, target, [first, second]) = two_slots();
        world.put(&job("web", 1));
        let query = LogsQuery::default();
        assert_eq!(found(&world, &target, &query).0, [first.0, second.0], "it still runs");
        let tasks = world.state.allocs.get(second).expect("it").tasks.to_vec();
        world.report(second, AllocState::Failed, tasks);
        assert_eq!(found(&world, &target, &query), (vec![first.0], 1));
        let all = LogsQuery { all: true, ..LogsQuery::default() };
        assert_eq!(found(&world, &target, &all).0, [first.0, second.0]);
        let slot = Target::Slot(JobKey::new("default", "web"), "web".into(), 1);
        assert_eq!(found(&world, &slot, &query), (vec![second.0], 0), "it is named");
    }

    #[test]
    fn of_an_earlier_version_only_what_nothing_has_replaced_is_read() {
        let (mut world, target, [first, second]) = two_slots();
        let mut changed = job("web", 2);
        let task = changed.groups.get_mut("web").and_then(|group| group.tasks.get_mut("web"));
        task.expect("the task").env.insert("NEW".into(), "1".into());
        world.put(&changed);
        let tasks = world.state.allocs.get(first).expect("it").tasks.to_vec();
        world.report(first, AllocState::Failed, tasks);
        let query = LogsQuery::default();
        assert_eq!(found(&world, &target, &query), (vec![first.0, second.0], 0));
        let third = world.place("web", 0, 1);
        world.healthy(third);
        assert_eq!(found(&world, &target, &query), (vec![third.0, second.0], 1));
    }

    #[test]
    fn one_stream_may_be_asked_for() {
        let (world, target, _) = two_slots();
        let streams = |stdout, stderr| {
            let query = LogsQuery { stdout, stderr, ..LogsQuery::default() };
            sources(&world.state, &target, &query).sources[0].streams
        };
        assert_eq!([streams(false, false), streams(true, true)], [Streams::Both; 2]);
        assert_eq!([streams(true, false), streams(false, true)], [Streams::Stdout, Streams::Stderr]);
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
