//! What would become of a job that is not submitted yet: the same commands and the same decisions, on a copy of the state.
//!
//! Work that must be replaced is taken to end at once, because what is asked is where it would go, not how long it takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::ids::{AllocId, JobKey, JobVersion, NodeId};
use proto::model::{AllocState, AllocStatus, Desired, Job, StopReason};
use proto::time::Timestamp;

use super::advice::{Shortage, advice};
use super::memory::Memory;
use super::{Decision, Placed, schedule_scored, wanted, with_progress};
use crate::core::state::{Alloc, Command, Kind, Outcome, Plan, Refusal, State, Wait};

/// Decisions after which everything that can be placed is: one stops what goes, one places what comes, one finds nothing to do.
pub(super) const ROUNDS: usize = 4;
/// Placements of a group of which scores are told.
const CHOICES: usize = 8;

/// What would become of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Whether anything would change.
    pub changed: bool,
    /// The version that it would have.
    pub version: JobVersion,
    /// What would become of each group, those that go included.
    pub groups: BTreeMap<String, GroupForecast>,
    /// How many allocations of other jobs would give way to it.
    pub preempted: BTreeMap<JobKey, u32>,
}

/// What would become of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupForecast {
    /// Allocations that would be wanted.
    pub wanted: u32,
    /// Allocations that run on and notice nothing.
    pub unchanged: u32,
    /// Allocations that run on under the new version.
    pub in_place: u32,
    /// Allocations that are replaced.
    pub replaced: u32,
    /// Allocations that are stopped and not replaced.
    pub stopped: u32,
    /// New allocations, replacements included.
    pub placed: BTreeMap<NodeId, u32>,
    /// What would have no place.
    pub waiting: Option<Shortage>,
    /// Why the first of the new allocations would go where they would.
    pub choices: Vec<Placed>,
}

/// Says what would become of a job if it were submitted now. The state stays as it is.
///
/// # Errors
/// What the state would refuse.
pub fn forecast(state: &State, job: Job, now: Timestamp) -> Result<Forecast, Refusal> {
    let key = job.key.clone();
    let mut after = state.clone();
    let put = Kind::PutJob { job: Box::new(job), expected: None, message: String::new() };
    let (changed, version) = match after.apply(Command::own(now, put)).outcome {
        Outcome::Written { changed, version, .. } => (changed, version),
        Outcome::Refused(refusal) => return Err(refusal),
        _ => (false, JobVersion(0)),
    };
    let mut forecast = Forecast { changed, version, ..Forecast::default() };
    if let Some(record) = after.jobs.get(&key) {
        for name in record.current().job.groups.keys() {
            forecast.group(name).wanted = wanted(&after, record, name).slots;
        }
    }
    for alloc in active(state, &key) {
        forecast.group(&alloc.group).unchanged += 1;
    }
    if changed {
        all_together(&mut after, &key);
        for _ in 0..ROUNDS {
            if !forecast.go_on(&mut after, &key, now) {
                break;
            }
        }
        forecast.look_at(&after, &key, AllocId(state.next_id));
    }
    Ok(forecast)
}

impl Forecast {
    fn group(&mut self, name: &str) -> &mut GroupForecast {
        self.groups.entry(name.to_owned()).or_default()
    }

    /// Decides once and does what was decided; returns whether there was anything.
    fn go_on(&mut self, state: &mut State, key: &JobKey, now: Timestamp) -> bool {
        let jobs = std::slice::from_ref(key);
        let Decision { plan, placed, .. } =
            schedule_scored(state, jobs, now, &mut Memory::default(), CHOICES);
        if plan.is_empty() {
            return false;
        }
        for one in placed.into_iter().filter(|one| !one.scores.is_empty()) {
            let choices = &mut self.group(&one.group.clone()).choices;
            choices.extend((choices.len() < CHOICES).then_some(one));
        }
        let of_job = |id: AllocId| state.allocs.get(id).filter(|alloc| *alloc.job == *key);
        let group_of = |id: AllocId| of_job(id).map(|alloc| alloc.group.clone());
        let others = plan.stops.iter().filter_map(|stop| state.allocs.get(stop.alloc));
        let others: Vec<JobKey> =
            others.map(|alloc| alloc.job.as_ref().clone()).filter(|other| other != key).collect();
        for other in &others {
            *self.preempted.entry(other.clone()).or_default() += 1;
        }
        for stop in &plan.stops {
            let Some(group) = group_of(stop.alloc) else { continue };
            let group = self.group(&group);
            group.unchanged = group.unchanged.saturating_sub(1);
            match stop.reason {
                StopReason::Replaced => group.replaced += 1,
                _ => group.stopped += 1,
            }
        }
        for update in &plan.updates {
            let Some(group) = group_of(update.alloc) else { continue };
            let group = self.group(&group);
            group.unchanged = group.unchanged.saturating_sub(1);
            group.in_place += 1;
        }
        let Some(reign) = state.reign else { return false };
        let plan = Plan { reign: reign.reign, seq: state.last_plan_seq + 1, ..plan };
        state.apply(Command::own(now, Kind::ApplyPlan(plan)));
        end_what_stops(state, key, now);
        others.iter().for_each(|other| end_what_stops(state, other, now));
        true
    }

    fn look_at(&mut self, state: &State, key: &JobKey, first_new: AllocId) {
        for alloc in active(state, key).filter(|alloc| alloc.id >= first_new) {
            *self.group(&alloc.group).placed.entry(alloc.node).or_default() += 1;
        }
        let Some(record) = state.jobs.get(key) else { return };
        for (name, group) in &record.groups {
            let shortage = |wait: &Wait| Shortage {
                count: wait.count,
                why: with_progress(state, record, name, &wait.why),
                advice: advice(state, record, name),
            };
            self.group(name).waiting = group.wait.as_ref().map(shortage);
        }
    }
}

fn active<'s>(state: &'s State, key: &JobKey) -> impl Iterator<Item = &'s Alloc> {
    let live = state.jobs.get(key).into_iter().flat_map(|record| record.live.iter());
    live.filter_map(|id| state.allocs.get(*id)).filter(|alloc| alloc.is_active())
}

/// Lets older work give way together, whatever the pace.
fn all_together(state: &mut State, key: &JobKey) {
    let version = state.jobs.get_mut(key).and_then(|record| record.versions.last_mut());
    if let Some(version) = version {
        Arc::make_mut(version).at_once = true;
    }
}

/// Plays the agents: what is to stop has stopped.
pub(super) fn end_what_stops(state: &mut State, key: &JobKey, now: Timestamp) {
    let live = state.jobs.get(key).map(|record| record.live.clone()).unwrap_or_default();
    let stopping = live.iter().filter_map(|id| state.allocs.get(*id));
    let stopping: Vec<(AllocId, NodeId)> = stopping
        .filter(|alloc| !alloc.lost && alloc.desired != Desired::Run)
        .map(|alloc| (alloc.id, alloc.node))
        .collect();
    for (id, node) in stopping {
        let Some(generation) = state.nodes.get(&node).map(|node| node.generation) else { continue };
        let status = AllocStatus { id, seq: u64::MAX, state: AllocState::Stopped, tasks: Vec::new() };
        state.apply(Command::own(now, Kind::AllocStatus { node, generation, statuses: vec![status] }));
    }
}

#[cfg(test)]
mod tests {
    use proto::model::Resources;

    use super::*;
    use crate::core::state::Edge;
    use crate::core::testing::{World, job};

    fn running(count: u32) -> World {
        let mut world = World::new(2);
        world.put(job("web", count));
        for _ in 0..3 {
            world.settle_healthy();
        }
        world
    }

    fn of(world: &World, job: Job) -> (bool, GroupForecast) {
        let before = world.state.revision;
        let mut told = forecast(&world.state, job, world.state.now).expect("a forecast");
        assert_eq!(world.state.revision, before, "nothing is written");
        (told.changed, told.groups.remove("web").expect("the group"))
    }

    fn with_env(mut job: Job) -> Job {
        let tasks = job.groups.values_mut().flat_map(|group| group.tasks.values_mut());
        tasks.for_each(|task| drop(task.env.insert("COLOR".into(), "blue".into())));
        job
    }

    fn placed(group: &GroupForecast) -> Vec<u32> {
        group.placed.values().copied().collect()
    }

    #[test]
    fn a_new_job_is_placed_where_it_would_be() {
        let world = World::new(2);
        let (changed, group) = of(&world, job("web", 3));
        assert!(changed);
        assert_eq!((group.wanted, placed(&group)), (3, vec![2, 1]));
        let mut real = World::new(2);
        real.put(job("web", 3));
        real.settle();
        let nodes = real.live("web").into_iter().map(|id| real.alloc(id).node);
        let mut counts: BTreeMap<NodeId, u32> = BTreeMap::new();
        nodes.for_each(|node| *counts.entry(node).or_default() += 1);
        assert_eq!(counts, group.placed, "the same kernel decides");
        let first = &group.choices[0];
        assert_eq!((group.choices.len(), first.scores.len(), first.scores[0].node), (3, 2, first.node));
        let behind: Vec<_> = group.choices.iter().map(|one| one.scores[1].behind).collect();
        assert_eq!(
            behind,
            [Some(Edge::Id), Some(Edge::Copies), Some(Edge::Id)],
            "why the second is not the one"
        );
        assert_eq!(
            first.runner_up.map(|next| (next.node, next.edge)),
            Some((first.scores[1].node, Edge::Id))
        );
    }

    #[test]
    fn the_same_job_changes_nothing() {
        let (changed, group) = of(&running(3), job("web", 3));
        assert!(!changed);
        assert_eq!((group.unchanged, group.in_place, group.replaced), (3, 0, 0));
    }

    #[test]
    fn a_change_of_count_is_in_place_and_one_of_the_work_replaces_all() {
        let world = running(3);
        let (_, group) = of(&world, job("web", 4));
        assert_eq!((group.unchanged, group.in_place, group.replaced, placed(&group)), (0, 3, 0, vec![1]));
        let (_, group) = of(&world, job("web", 1));
        assert_eq!((group.in_place, group.stopped, placed(&group)), (1, 2, vec![]));
        let (_, group) = of(&world, with_env(job("web", 3)));
        assert_eq!((group.unchanged, group.replaced, group.placed.values().sum::<u32>()), (0, 3, 3));
    }

    #[test]
    fn what_has_no_place_waits_with_the_reason() {
        let mut large = job("web", 2);
        let tasks = large.groups.values_mut().flat_map(|group| group.tasks.values_mut());
        tasks.for_each(|task| task.resources = Resources { cpu_millis: 100, memory_bytes: 1 << 40 });
        let (_, group) = of(&World::new(2), large);
        let waits = group.waiting.expect("it waits");
        assert_eq!((waits.count, waits.why.as_str()), (2, "2 of 2 nodes lack memory (1TiB asked)"));
        let told = "no node is large enough: n0 has 8GiB of memory in all; ask for less under `resources`, or add a larger node";
        assert_eq!(waits.advice, told);
    }

    #[test]
    fn a_group_that_goes_and_a_stopped_job_that_starts_are_told() {
        let mut world = running(2);
        let mut other = job("web", 2);
        let group = other.groups.remove("web").expect("a group");
        other.groups.insert("api".into(), group);
        let (_, group) = of(&world, other);
        assert_eq!((group.wanted, group.stopped), (0, 2));
        world.apply(Kind::StopJob { key: JobKey::new("default", "web"), purge: false });
        world.settle_healthy();
        let (changed, group) = of(&world, job("web", 2));
        assert!(changed, "it starts again");
        assert_eq!(placed(&group), [1, 1]);
    }
}
