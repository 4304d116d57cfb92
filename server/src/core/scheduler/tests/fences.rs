//! With a fence two allocations of one slot never run at the same time: who is lost is waited for, who moves ends first.

use std::time::Duration;

use proto::ids::{AllocId, JobKey};
use proto::model::{
    AllocState, AllocStatus, Desired, EndReason, Job, StopReason, TaskEnd, TaskPhase, TaskStatus,
};
use proto::time::BootTime;

use super::super::{Decision, Memory, schedule_with};
use crate::core::rules::fence::Fences;
use crate::core::state::{Kind, Outcome};
use crate::core::testing::{World, job};

const FENCE: Duration = Duration::from_secs(10);
const HEARD: u64 = 50_000;
/// 1.02 times the fence and 1 s later.
const OVER: u64 = HEARD + 11_200;

fn fenced(name: &str, count: u32) -> Job {
    let mut job = job(name, count);
    job.groups.values_mut().for_each(|group| group.stop_after = Some(FENCE));
    job
}

fn running(nodes: u64, job: Job) -> World {
    let mut world = World::new(nodes);
    world.put(job);
    for _ in 0..4 {
        world.settle_healthy();
    }
    world
}

/// Decides at that time of the leader's clock, by which all nodes were heard last at [`HEARD`].
fn decide_at(world: &World, now: u64) -> Decision {
    let jobs: Vec<JobKey> = world.state.jobs.iter().map(|(key, _)| key.clone()).collect();
    let heard = (0..9).map(|number| (world.node(number), BootTime(HEARD))).collect();
    let fences = Fences { begun: BootTime(1), heard, now: Some(BootTime(now)) };
    let mut memory = Memory { fences, ..Memory::default() };
    schedule_with(&world.state, &jobs, world.state.now, &mut memory)
}

/// The world in which the node of the first allocation of `web` is lost, and that node.
fn bereft(job: Job) -> (World, u64) {
    let mut world = running(3, job);
    let home = world.index_of(world.alloc(world.live("web")[0]).node);
    world.lose(world.node(home));
    (world, home)
}

/// The agent tells that an allocation was ended by its fence.
fn end_by_fence(world: &mut World, id: AllocId) {
    let end = TaskEnd { reason: EndReason::Lease, at: world.state.now, ran: FENCE, tail: String::new() };
    let task = TaskStatus {
        name: "web".into(),
        phase: TaskPhase::Ended,
        attempt: 1,
        window_try: 1,
        window_tries: Some(4),
        pid: 0,
        started_at: None,
        last_end: Some(end),
    };
    let node = world.alloc(id).node;
    world.report_on(node, AllocStatus { id, seq: 99, state: AllocState::Failed, tasks: vec![task] });
}

#[test]
fn a_lost_allocation_is_replaced_when_its_fence_has_certainly_run_out() {
    let (mut world, home) = bereft(fenced("web", 1));
    let decision = decide_at(&world, OVER - 1);
    assert!(decision.placed.is_empty());
    let wait = decision.plan.waits[0].clone();
    assert_eq!(
        (wait.count, wait.why),
        (
            1,
            format!(
                "web.web.0 may still run on n{home}, which does not answer: it is replaced when its fence (10s) has certainly run out, 11200ms after n{home} was heard last"
            )
        )
    );
    let key = world.state.jobs.iter().next().expect("it is there").0.clone();
    assert_eq!(decision.wake_at[&key], world.state.now.plus(Duration::from_millis(1)));
    world.plan(decision.plan);
    assert!(decide_at(&world, OVER - 1).plan.is_empty(), "deciding again on the same facts");
    let decision = decide_at(&world, OVER);
    assert_eq!(decision.placed.len(), 1);
    world.plan(decision.plan);
    world.check();
}

#[test]
fn what_has_no_fence_is_replaced_at_once() {
    let (world, _) = bereft(job("web", 1));
    assert_eq!(decide_at(&world, HEARD).placed.len(), 1);
}

#[test]
fn a_slot_that_waits_is_not_begun_at_another_index() {
    let (world, home) = bereft(fenced("web", 6));
    let lost = world.on(home).len();
    assert_eq!(lost, 2);
    let decision = decide_at(&world, HEARD);
    assert!(decision.placed.is_empty(), "{:?}", decision.plan.items);
    assert_eq!(decision.plan.waits[0].count, 2);
    assert_eq!(decide_at(&world, OVER).placed.len(), 2);
}

#[test]
fn a_slot_that_is_not_wanted_any_more_keeps_no_other_waiting() {
    let mut world = running(3, fenced("web", 3));
    let last = *world.live("web").last().expect("three");
    assert_eq!(world.alloc(last).index, 2);
    world.lose(world.alloc(last).node);
    world.put(fenced("web", 2));
    let first = world.live("web")[0];
    end_by_fence(&mut world, first);
    let decision = decide_at(&world, HEARD);
    assert_eq!(decision.placed.len(), 1, "{:?}", decision.plan.waits);
}

#[test]
fn a_fence_outlives_the_job_file_that_said_it_and_a_stop_and_start_of_the_job() {
    let (mut world, _) = bereft(fenced("web", 1));
    world.put(job("web", 1));
    assert!(decide_at(&world, HEARD).placed.is_empty(), "the lost one has the fence that it was placed with");
    let key = JobKey::new("default", "web");
    world.apply(Kind::StopJob { key: key.clone(), purge: true });
    world.put(fenced("web", 1));
    assert!(
        decide_at(&world, HEARD).placed.is_empty(),
        "a purged job whose work may still run is not forgotten"
    );
    assert_eq!(decide_at(&world, OVER).placed.len(), 1);
}

#[test]
fn a_node_that_returns_in_time_keeps_what_it_has() {
    let (mut world, home) = bereft(fenced("web", 1));
    let decision = decide_at(&world, HEARD);
    world.plan(decision.plan);
    let id = world.live("web")[0];
    let status = AllocStatus { id, seq: 9, state: AllocState::Running, tasks: Vec::new() };
    world.register(home, vec![(crate::core::testing::INCARNATION, status)]);
    assert!(!world.alloc(id).lost);
    assert!(decide_at(&world, OVER).placed.is_empty());
}

#[test]
fn what_its_fence_has_ended_begins_anew_at_once_and_uses_up_no_attempt() {
    let mut world = running(1, fenced("web", 1));
    let id = world.live("web")[0];
    end_by_fence(&mut world, id);
    let decision = decide_at(&world, OVER);
    assert_eq!(decision.placed.len(), 1);
    world.plan(decision.plan);
    assert_eq!(world.alloc(world.live("web")[0]).replacements, 0);
}

#[test]
fn what_has_a_fence_ends_on_a_drained_node_before_it_begins_elsewhere() {
    let mut world = running(2, fenced("web", 1));
    let old = world.live("web")[0];
    let home = world.index_of(world.alloc(old).node);
    world.drain(home, None);
    world.settle();
    assert_eq!(world.alloc(old).desired, Desired::Stop(StopReason::Drained));
    assert_eq!(world.live("web"), [old], "nothing runs beside it");
    for _ in 0..4 {
        world.settle_healthy();
        assert!(world.live("web").len() <= 1);
    }
    let new = world.live("web")[0];
    assert_ne!((new, world.alloc(new).node), (old, world.node(home)));
}

#[test]
fn what_has_a_fence_and_no_other_node_stays_on_the_drained_one() {
    let mut world = running(1, fenced("web", 1));
    world.drain(0, None);
    world.settle();
    assert_eq!(world.alloc(world.live("web")[0]).desired, Desired::Run);
}

#[test]
fn a_node_is_not_forgotten_before_the_fences_of_its_work_have_run_out() {
    let (mut world, home) = bereft(fenced("web", 1));
    let node = world.node(home);
    let refused = world.apply(Kind::PurgeNode { node }).outcome;
    assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    world.pass(OVER - HEARD);
    let done = world.apply(Kind::PurgeNode { node }).outcome;
    assert!(matches!(done, Outcome::Written { changed: true, .. }), "{done:?}");
}

#[test]
fn the_fence_of_a_singleton_is_the_lease_as_it_was_when_it_was_placed() {
    let mut single = job("web", 1);
    single.groups.values_mut().for_each(|group| group.singleton = true);
    let mut world = running(1, single);
    assert_eq!(world.alloc(world.live("web")[0]).fence, Some(world.state.settings.node_timeout));
    let scale = Kind::ScaleJob { key: JobKey::new("default", "web"), group: String::new(), count: 2 };
    assert!(matches!(world.apply(scale).outcome, Outcome::Refused(_)), "it is one");
}
