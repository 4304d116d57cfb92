//! Jobs are put, scaled, stopped and forgotten.

use super::*;

#[test]
fn the_same_job_twice_changes_nothing_and_a_stale_base_is_refused() {
    let mut world = World::new(1);
    assert!(matches!(
        world.put(job("web", 1)),
        Outcome::Written { changed: true, version: JobVersion(1), .. }
    ));
    assert!(matches!(
        world.put(job("web", 1)),
        Outcome::Written { changed: false, version: JobVersion(1), .. }
    ));
    world.put(job("web", 2));
    let mut refused = |name: &str, expected: u64| {
        let (job, expected) = (Box::new(job(name, 3)), Some(JobVersion(expected)));
        let put = Kind::PutJob { job, expected, message: String::new() };
        let Outcome::Refused(refusal) = world.apply(put).outcome else { panic!("accepted a stale base") };
        assert_eq!(refusal.kind, proto::error::Kind::Conflict);
        refusal.message
    };
    assert_eq!(refused("web", 1), "job `web` is at version 2, not 1: somebody changed it meanwhile");
    assert_eq!(refused("web", 99), "job `web` has no version 99 yet: it is at version 2");
    assert_eq!(refused("web", 0), "job `web` exists already, at version 2");
    assert_eq!(refused("api", 1), "there is no job `api`, so it has no version 1 yet");
}

#[test]
fn a_write_sent_twice_is_applied_once_and_answered_alike() {
    let mut world = World::new(1);
    let command = |count| Command {
        now: Timestamp(5),
        request: RequestId(42),
        actor: "me".into(),
        kind: Kind::PutJob { job: Box::new(job("web", count)), expected: None, message: String::new() },
    };
    let first = world.state.apply(command(1)).outcome;
    assert_eq!(world.state.apply(command(1)).outcome, first);
    assert!(
        matches!(world.state.apply(command(2)).outcome, Outcome::Refused(_)),
        "the same id with another body"
    );
    assert_eq!(world.state.jobs.len(), 1);
}

#[test]
fn a_batch_job_completes_once_per_slot_and_is_announced_once() {
    let mut world = World::new(1);
    world.put(crate::core::testing::batch("sum", 2));
    world.settle();
    for id in world.live("sum") {
        let mut done = status(id, 1, AllocState::Complete, TaskPhase::Ended, Some(EndReason::Exit(0)));
        done.tasks[0].name = "sum".into();
        world.report(0, done);
    }
    world.settle();
    assert!(world.live("sum").is_empty(), "nothing is run again");
    let key = JobKey::new("default", "sum");
    let said = world.state.events.of_job(&key).filter(|event| event.kind == EventKind::JobCompleted).count();
    assert_eq!(said, 1);
    let ended: Vec<AllocId> = world.state.jobs.get(&key).expect("job").ended.iter().copied().collect();
    world.apply(Kind::Gc(crate::core::state::Gc { allocs: ended }));
    world.settle();
    assert!(world.live("sum").is_empty(), "collecting forgets no success");
    world.check();
}

#[test]
fn a_change_of_count_leaves_running_allocations_alone_and_a_change_of_env_replaces_one_by_one() {
    let mut world = World::new(3);
    world.put(job("web", 2));
    world.settle_healthy();
    let before = world.live("web");
    world.put(job("web", 3));
    world.settle_healthy();
    assert_eq!(world.live("web")[..2], before[..]);
    let mut changed = job("web", 3);
    let task = changed.groups.get_mut("web").and_then(|group| group.tasks.get_mut("web")).expect("task");
    task.env.insert("A".into(), "b".into());
    world.put(changed);
    world.settle();
    let stopping = world.live("web").iter().filter(|id| !world.alloc(**id).is_active()).count();
    assert_eq!(stopping, 1, "one at a time");
    for _ in 0..10 {
        world.settle_healthy();
    }
    let versions: Vec<u64> = world.live("web").iter().map(|id| world.alloc(*id).work.0).collect();
    assert_eq!(versions, [3, 3, 3]);
    world.check();
}

#[test]
fn scaling_down_stops_the_unhealthy_first() {
    let mut world = World::new(3);
    world.put(job("web", 3));
    world.settle_healthy();
    let victim = world.live("web")[1];
    let on = world.alloc(victim).node;
    let until = TaskPhase::Backoff(Timestamp(9));
    world.report_on(on, status(victim, 50, AllocState::Running, until, Some(EndReason::Exit(1))));
    world.put(job("web", 2));
    world.settle();
    assert_eq!(world.alloc(victim).desired, Desired::Stop(StopReason::ScaledDown));
    world.check();
}

#[test]
fn purge_forgets_a_job_when_nothing_of_it_runs() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle_healthy();
    let id = world.live("web")[0];
    let key = JobKey::new("default", "web");
    world.apply(Kind::StopJob { key: key.clone(), purge: true });
    world.settle();
    assert!(world.state.jobs.get(&key).is_some(), "it still runs");
    world.report(0, status(id, 60, AllocState::Stopped, TaskPhase::Ended, Some(EndReason::Stopped)));
    assert!(world.state.jobs.get(&key).is_none());
    assert!(world.state.allocs.is_empty());
    world.check();
}

#[test]
fn a_job_is_looked_at_again_when_something_of_it_gets_healthy() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle();
    let id = world.live("web")[0];
    world.report(0, status(id, 1, AllocState::Running, TaskPhase::Running, None));
    let early = world.apply(Kind::PutHealth { healthy: vec![id] });
    assert!(
        early.changes.jobs.is_empty() && !world.alloc(id).healthy,
        "it was restarted since the rule looked"
    );
    world.pass(1000);
    let applied = world.apply(Kind::PutHealth { healthy: vec![id] });
    assert!(
        applied.changes.jobs.contains(&JobKey::new("default", "web")),
        "else a rolling change stops after its first replacement"
    );
}

#[test]
fn a_smaller_count_takes_from_the_fullest_node_and_the_youngest_first() {
    let mut world = World::new(2);
    world.put(job("web", 7));
    world.settle_healthy();
    let before = world.live("web");
    world.put(job("web", 2));
    world.settle();
    let kept: Vec<AllocId> = before.iter().filter(|id| world.alloc(**id).is_active()).copied().collect();
    assert_eq!(kept.len(), 2);
    assert_ne!(world.alloc(kept[0]).node, world.alloc(kept[1]).node, "one on each node");
    let eldest = |id: &AllocId| {
        let node = world.alloc(*id).node;
        before.iter().filter(|other| world.alloc(**other).node == node).min() == Some(id)
    };
    assert!(kept.iter().all(eldest), "the eldest of each: {kept:?} of {before:?}");
}

#[test]
fn a_change_says_what_it_changed() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.put(job("web", 2));
    let key = JobKey::new("default", "web");
    let said = |world: &World| world.state.events.of_job(&key).last().expect("an event").message.clone();
    assert_eq!(said(&world), "job `web` was changed to version 2: groups.web.count");
    world.apply(Kind::StopJob { key: key.clone(), purge: false });
    world.put(job("web", 3));
    assert_eq!(said(&world), "job `web` was started again and changed to version 3: groups.web.count");
}
