//! What people ask for beside submitting and stopping: scale, start, revert, restart, and what they do with nodes.

use proto::error::Kind as ErrorKind;
use proto::ids::{AllocId, JobKey, JobVersion};
use proto::model::{AllocState, Desired, EndReason, EventKind, Job, OnExhausted, StopReason, TaskPhase};

use super::status;
use crate::core::state::{Alloc, Kind, Outcome, Refusal};
use crate::core::testing::{World, batch, job};

fn key() -> JobKey {
    JobKey::new("default", "web")
}

#[track_caller]
fn ask(world: &mut World, kind: Kind) -> (bool, u64) {
    let outcome = world.apply(kind).outcome;
    world.check();
    match outcome {
        Outcome::Written { changed, version, .. } => (changed, version.0),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refusal(world: &mut World, kind: Kind) -> Refusal {
    match world.apply(kind).outcome {
        Outcome::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn scale(count: u32) -> Kind {
    Kind::ScaleJob { key: key(), group: String::new(), count }
}

fn two_groups() -> Job {
    let mut shop = job("web", 1);
    let api = shop.groups["web"].clone();
    shop.groups.insert("api".into(), api);
    shop
}

/// A world in which that job runs and is healthy.
fn running(job: Job) -> World {
    let mut world = World::new(3);
    world.put(job);
    for _ in 0..5 {
        world.settle_healthy();
    }
    world
}

fn end(world: &mut World, id: AllocId, state: AllocState, reason: EndReason) {
    let node = world.alloc(id).node;
    world.report_on(node, status(id, 99_999, state, TaskPhase::Ended, Some(reason)));
}

fn events(world: &World, kind: EventKind) -> Vec<String> {
    let of_kind = world.state.events.all().filter(|event| event.kind == kind);
    of_kind.map(|event| event.message.clone()).collect()
}

#[test]
fn scaling_is_a_new_version_that_leaves_what_runs_alone() {
    let mut world = running(job("web", 2));
    let before = world.live("web");
    assert_eq!(ask(&mut world, scale(3)), (true, 2));
    assert_eq!(ask(&mut world, scale(3)), (false, 2), "the same count changes nothing");
    world.settle_healthy();
    assert_eq!(world.live("web").len(), 3);
    assert!(before.iter().all(|id| world.alloc(*id).is_active()), "they run on");
    let record = world.state.jobs.get(&key()).expect("job");
    assert_eq!(record.current().message, "web scaled from 2 to 3");
    assert_eq!(ask(&mut world, scale(0)), (true, 3));
    world.settle_healthy();
    assert_eq!(world.live("web").len(), 0);
}

#[test]
fn scaling_names_the_groups_there_are() {
    let mut world = running(two_groups());
    let unnamed = refusal(&mut world, scale(3));
    assert_eq!((unnamed.kind.word(), unnamed.hint.as_str()), ("invalid", "it has api, web"));
    let unknown = refusal(&mut world, Kind::ScaleJob { key: key(), group: "wbe".into(), count: 1 });
    assert_eq!(unknown.message, "job `default/web` has no group `wbe`".replace("default/", ""));
    assert_eq!(ask(&mut world, Kind::ScaleJob { key: key(), group: "api".into(), count: 2 }), (true, 2));
    assert_eq!(world.state.jobs.get(&key()).expect("job").current().job.groups["web"].count, 1);
}

#[test]
fn a_stopped_job_is_neither_scaled_nor_restarted_and_the_refusal_says_what_starts_it() {
    let mut world = running(job("web", 1));
    let id = world.live("web")[0];
    world.apply(Kind::StopJob { key: key(), purge: false });
    let kinds = [scale(3), Kind::RestartJob { key: key(), at_once: false }, Kind::RestartAlloc { alloc: id }];
    for kind in kinds {
        let refused = refusal(&mut world, kind);
        assert_eq!(refused.kind.word(), "refused");
        assert!(refused.message.starts_with("job `web` is stopped, so there is nothing to"), "{refused:?}");
        assert_eq!(refused.hint, "`minijob start web` starts it again");
    }
    world.settle_healthy();
    assert_eq!(ask(&mut world, Kind::StartJob { key: key() }), (true, 1), "with the description it has");
    assert_eq!(ask(&mut world, Kind::StartJob { key: key() }), (false, 1), "it runs");
    world.settle_healthy();
    assert_eq!(world.live("web").len(), 1);
}

#[test]
fn reverting_makes_an_earlier_description_a_new_version_and_only_one_that_is_kept() {
    let mut world = running(job("web", 2));
    world.put(job("web", 3));
    assert_eq!(ask(&mut world, Kind::RevertJob { key: key(), to: JobVersion(1) }), (true, 3));
    let record = world.state.jobs.get(&key()).expect("job").clone();
    assert_eq!(
        (record.current().job.groups["web"].count, record.current().message.as_str()),
        (2, "reverted to version 1")
    );
    assert_eq!(record.current().work["web"], JobVersion(1), "the work is the same: nothing is replaced");
    assert_eq!(ask(&mut world, Kind::RevertJob { key: key(), to: JobVersion(3) }), (false, 3));
    let refused = refusal(&mut world, Kind::RevertJob { key: key(), to: JobVersion(9) });
    assert_eq!(refused.kind, ErrorKind::NotFound);
    assert_eq!(refused.message, "version 9 of job `web` is not kept: there is 1, 2, 3");
}

#[test]
fn a_restart_replaces_all_work_one_by_one_and_the_file_is_still_the_same() {
    let mut world = running(job("web", 3));
    let before = world.live("web");
    assert_eq!(ask(&mut world, Kind::RestartJob { key: key(), at_once: false }), (true, 2));
    world.settle();
    let stopping = |alloc: &&AllocId, world: &World| world.alloc(**alloc).desired != Desired::Run;
    assert_eq!(before.iter().filter(|id| stopping(id, &world)).count(), 1, "one at a time");
    for _ in 0..8 {
        world.settle_healthy();
    }
    assert!(before.iter().all(|id| world.alloc(*id).has_ended()));
    let healthy = |id: &AllocId| world.alloc(*id).healthy && world.alloc(*id).work == JobVersion(2);
    assert_eq!(world.live("web").iter().filter(|id| healthy(id)).count(), 3);
    let same = world.put(job("web", 3));
    assert!(matches!(same, Outcome::Written { changed: false, .. }), "{same:?}");
}

#[test]
fn a_restart_at_once_replaces_all_work_together() {
    let mut world = running(job("web", 3));
    let before = world.live("web");
    ask(&mut world, Kind::RestartJob { key: key(), at_once: true });
    world.settle();
    let reasons: Vec<Desired> = before.iter().map(|id| world.alloc(*id).desired).collect();
    assert_eq!(reasons, [Desired::Stop(StopReason::Replaced); 3]);
    world.settle_healthy();
    assert_eq!(world.live("web").len(), 3);
}

#[test]
fn a_restart_runs_a_complete_batch_job_again_and_one_that_was_given_up() {
    let mut world = World::new(1);
    world.put(batch("web", 1));
    world.settle();
    let first = world.live("web")[0];
    end(&mut world, first, AllocState::Complete, EndReason::Exit(0));
    world.settle();
    assert_eq!(world.live("web").len(), 0);
    ask(&mut world, Kind::RestartJob { key: key(), at_once: false });
    world.settle();
    let second = world.live("web")[0];
    end(&mut world, second, AllocState::Complete, EndReason::Exit(0));
    assert_eq!(events(&world, EventKind::JobCompleted).len(), 2, "announced again");
    assert_eq!(ask(&mut world, Kind::RestartAlloc { alloc: second }), (true, 2));
    world.settle();
    assert_eq!(world.alloc(world.live("web")[0]).previous, Some(second));
}

#[test]
fn a_restarted_allocation_begins_again_in_its_slot_and_on_its_node() {
    let mut world = running(job("web", 3));
    let alloc = |world: &World, index: u32| -> Alloc {
        let live = world.live("web").into_iter().map(|id| world.alloc(id).clone());
        live.into_iter().find(|alloc| alloc.index == index).expect("a slot that is filled")
    };
    let before = alloc(&world, 1);
    assert_eq!(ask(&mut world, Kind::RestartAlloc { alloc: before.id }), (true, 1), "no new version");
    assert_eq!(ask(&mut world, Kind::RestartAlloc { alloc: before.id }), (false, 1), "it is on its way");
    assert_eq!(
        events(&world, EventKind::AllocStopOrdered),
        ["web.web.1 is to stop: a person asked for a restart"]
    );
    // Its node becomes the least attractive one.
    let other = taking_room(job("other", 1));
    world.put(other);
    for _ in 0..3 {
        world.settle_healthy();
    }
    let after = alloc(&world, 1);
    assert_ne!(after.id, before.id);
    assert_eq!((after.node, after.previous, after.replacements), (before.node, Some(before.id), 0));
    assert!(after.reason.preferred);
    assert!(
        world.state.jobs.get(&key()).expect("job").groups["web"].restarts.is_empty(),
        "the wish is fulfilled"
    );
    let late = refusal(&mut world, Kind::RestartAlloc { alloc: before.id });
    assert!(late.message.contains("web.web.1 was replaced"), "{late:?}");
    assert_eq!(late.hint, "`minijob restart web.web.1` restarts that one");
}

fn taking_room(mut job: Job) -> Job {
    for task in job.groups.values_mut().flat_map(|group| group.tasks.values_mut()) {
        task.resources.cpu_millis = 2000;
    }
    job
}

#[test]
fn a_restart_elsewhere_when_its_node_takes_no_more_work() {
    let mut world = running(job("web", 1));
    let before = world.alloc(world.live("web")[0]).clone();
    let eligibility = proto::model::Eligibility::Cordoned;
    assert!(ask(&mut world, Kind::NodeEligibility { node: before.node, eligibility }).0);
    assert!(!ask(&mut world, Kind::NodeEligibility { node: before.node, eligibility }).0, "it is already");
    ask(&mut world, Kind::RestartAlloc { alloc: before.id });
    world.settle_healthy();
    let after = world.alloc(world.live("web")[0]).clone();
    assert_ne!(after.node, before.node);
    assert!(!after.reason.preferred);
}

#[test]
fn what_was_given_up_begins_anew_when_a_person_asks_and_its_tries_too() {
    let mut given_up = job("web", 1);
    given_up.groups.values_mut().for_each(|group| group.restart.on_exhausted = OnExhausted::Fail);
    let mut world = World::new(1);
    world.put(given_up);
    world.settle();
    let first = world.live("web")[0];
    let hopeless = EndReason::StartFailed { step: "exec".into(), errno: 2, message: "no such file".into() };
    end(&mut world, first, AllocState::Failed, EndReason::Exit(1));
    world.settle();
    assert_eq!(world.live("web").len(), 0, "nobody tries again");
    assert_eq!(ask(&mut world, Kind::RestartAlloc { alloc: first }), (true, 1));
    assert_eq!(ask(&mut world, Kind::RestartAlloc { alloc: first }), (false, 1), "it is on its way");
    world.settle();
    let second = world.live("web")[0];
    assert_eq!((world.alloc(second).previous, world.alloc(second).replacements), (Some(first), 0));
    // A node on which it could not start is tried again, since a person says that it can.
    end(&mut world, second, AllocState::Failed, hopeless);
    assert_eq!(world.state.jobs.get(&key()).expect("job").groups["web"].avoid.len(), 1);
    ask(&mut world, Kind::RestartAlloc { alloc: second });
    world.settle();
    assert_eq!(world.live("web").len(), 1);
}

#[test]
fn a_node_is_forgotten_only_when_it_is_down_and_then_with_all_that_was_lost_there() {
    let mut world = running(job("web", 3));
    let lost = world.alloc(world.live("web")[0]).clone();
    let up = refusal(&mut world, Kind::PurgeNode { node: lost.node });
    assert!(up.message.contains("is up") && up.hint.contains("stop its agent"), "{up:?}");
    world.lose(lost.node);
    world.settle_healthy();
    assert!(ask(&mut world, Kind::PurgeNode { node: lost.node }).0);
    assert!(world.state.nodes.get(&lost.node).is_none() && world.state.allocs.get(lost.id).is_none());
    assert_eq!(world.state.events.of_node(lost.node).count(), 0);
    assert_eq!(events(&world, EventKind::NodePurged).len(), 1, "and who did it is known");
    assert_eq!(refusal(&mut world, Kind::PurgeNode { node: lost.node }).kind.word(), "not_found");
    assert_eq!(world.live("web").len(), 3, "its replacement runs elsewhere");
    let number = world.index_of(lost.node);
    world.register(number, vec![]);
    world.check();
}
