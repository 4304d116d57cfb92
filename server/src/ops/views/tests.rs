//! What people and scripts read of small worlds.

use std::time::Duration;

use proto::ids::{JobKey, NodeId};
use proto::model::{AllocState, EndReason, StopReason, TaskPhase, TaskStatus};
use proto::view::{Health, JobStatus};
use serde_json::{Value, json};

use super::*;
use crate::core::state::{Plan, PlanStop};
use crate::ops::testing::{World, batch, end, job, running};

fn status(world: &World, name: &str) -> JobStatus {
    let record = world.state.jobs.get(&JobKey::new("default", name)).expect("the job");
    job_status(&world.state, record, world.now)
}

/// Health, and the numbers wanted, running, healthy.
fn brief(world: &World, name: &str) -> (Health, [u32; 3]) {
    let summary = status(world, name).summary;
    (summary.health, [summary.wanted, summary.running, summary.healthy])
}

fn as_json(document: &impl serde::Serialize) -> Value {
    serde_json::to_value(document).expect("a document")
}

/// A task between two tries.
fn backoff(world: &World, name: &str, reason: EndReason, tries: u32) -> TaskStatus {
    TaskStatus {
        phase: TaskPhase::Backoff(world.now.plus(Duration::from_secs(2))),
        attempt: tries,
        window_try: tries,
        pid: 0,
        last_end: Some(end(reason, world.now, Duration::from_millis(2345))),
        ..running(name, world.now)
    }
}

#[test]
fn a_new_job_is_pending_until_all_of_it_is_healthy() {
    let mut world = World::new(2);
    world.put(&job("web", 2));
    assert_eq!(brief(&world, "web"), (Health::Pending, [2, 0, 0]));
    assert_eq!(status(&world, "web").summary.why, "web: 2 of 2 not placed yet");
    assert_eq!(status(&world, "web").summary.down_since, None, "it has never been up");
    let first = world.place("web", 0, 1);
    let second = world.place("web", 1, 2);
    world.healthy(first);
    assert_eq!(brief(&world, "web"), (Health::Pending, [2, 1, 1]));
    assert_eq!(status(&world, "web").summary.why, "web: 1 of 2 not healthy yet");
    world.healthy(second);
    assert_eq!(brief(&world, "web"), (Health::Healthy, [2, 2, 2]));
    assert_eq!(status(&world, "web").summary.why, "");
}

#[test]
fn a_healthy_job_as_a_document() {
    let mut world = World::new(1);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    world.healthy(id);
    let expected = r#"{
        "namespace": "default", "name": "web", "type": "service", "version": 1,
        "health": "healthy", "wanted": 1, "running": 1, "healthy": 1, "why": "",
        "created_at": "2023-11-14T22:13:20.000Z", "submitted_at": "2023-11-14T22:13:20.000Z", "revision": 6,
        "groups": {"web": {"wanted": 1, "running": 1, "healthy": 1, "complete": 0}},
        "allocs": [{
            "id": "ALLOC", "name": "web.web.0", "namespace": "default", "job": "web", "version": 1,
            "group": "web", "index": 0, "node": "NODE", "node_name": "n1",
            "desired": "run", "state": "running", "healthy": true, "lost": false,
            "created_at": "2023-11-14T22:13:20.000Z", "ports": {"http": 20000}, "replacements": 0,
            "tasks": [{
                "name": "web", "phase": "running", "attempt": 1, "window_try": 1, "window_tries": 4, "pid": 4711,
                "started_at": "2023-11-14T22:13:20.000Z", "last_end_text": ""
            }]
        }]
    }"#;
    let expected = expected.replace("ALLOC", &id.to_string()).replace("NODE", &NodeId(1).to_string());
    let expected: Value = serde_json::from_str(&expected).expect("JSON");
    assert_eq!(as_json(&status(&world, "web")), expected);
}

#[test]
fn a_crash_loop_is_failing_also_while_the_next_try_runs_and_down_since_its_first_crash() {
    let mut world = World::new(1);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    world.healthy(id);
    world.pass(3600);
    let first_crash = world.now;
    for tries in 1..=2 {
        let down = backoff(&world, "web", EndReason::Exit(7), tries);
        world.report(id, AllocState::Running, vec![down.clone()]);
        assert_eq!(brief(&world, "web"), (Health::Failing, [1, 0, 0]), "between two tries");
        world.pass(2);
        let again = TaskStatus {
            phase: TaskPhase::Running,
            attempt: tries + 1,
            window_try: tries + 1,
            pid: 5000,
            started_at: Some(world.now),
            ..down
        };
        world.report(id, AllocState::Running, vec![again]);
        assert_eq!(brief(&world, "web").0, Health::Failing, "not yet believed");
        assert_eq!(status(&world, "web").summary.down_since, Some(first_crash));
        world.pass(3);
    }
    let shown = status(&world, "web");
    let why = "web.web.0 on n1: task web crashes again and again: 2 ends in the last minute, last: exit code 7; try 3 of 4";
    assert_eq!(shown.summary.why, why);
    let task = &shown.allocs[0].tasks[0];
    assert_eq!(task.last_end_text, "exit code 7 after 2.3s");
    assert_eq!(task.last_end.as_ref().map(|end| end.tail.as_str()), Some("boom\n"));
    world.apply(crate::core::state::Kind::PutHealth { healthy: vec![id] });
    assert_eq!(brief(&world, "web"), (Health::Failing, [1, 1, 1]), "its lives were as long before");
    world.pass(1);
    assert_eq!(brief(&world, "web"), (Health::Healthy, [1, 1, 1]), "it has outlived them");
    assert_eq!(status(&world, "web").summary.down_since, None);
}

/// The task of `web` dies after that many seconds, and is started again at once.
fn dies_after(world: &mut World, id: proto::ids::AllocId, seconds: u64, tries: u32) {
    world.pass(seconds);
    let down = backoff(world, "web", EndReason::Exit(1), tries);
    world.report(id, AllocState::Running, vec![down.clone()]);
    let again = TaskStatus { phase: TaskPhase::Running, started_at: Some(world.now), ..down };
    world.report(id, AllocState::Running, vec![again]);
}

/// All that has run for a second is believed by rolling changes.
fn believed(world: &mut World, id: proto::ids::AllocId) {
    world.pass(1);
    world.apply(crate::core::state::Kind::PutHealth { healthy: vec![id] });
}

#[test]
fn what_lives_for_two_seconds_again_and_again_never_looks_healthy_between() {
    let mut world = World::new(1);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    world.healthy(id);
    world.pass(1);
    let first = world.now;
    dies_after(&mut world, id, 0, 2);
    for tries in 3..6 {
        believed(&mut world, id);
        let summary = status(&world, "web").summary;
        assert_eq!((summary.health, summary.healthy), (Health::Failing, 1), "try {tries}");
        assert_eq!(summary.down_since, Some(first));
        dies_after(&mut world, id, 1, tries);
    }
    let why = status(&world, "web").summary.why;
    assert!(why.contains(" crashes again and again: 4 ends in the last minute, last: exit code 1"), "{why}");
    believed(&mut world, id);
    world.pass(3);
    assert_eq!(brief(&world, "web").0, Health::Healthy, "longer than ever before");
    world.pass(60);
    let again = world.now;
    dies_after(&mut world, id, 0, 2);
    believed(&mut world, id);
    assert_eq!(brief(&world, "web").0, Health::Healthy, "one end after a long life is no series");
    dies_after(&mut world, id, 1, 3);
    assert_eq!(status(&world, "web").summary.down_since, Some(again), "from the last good running");
}

#[test]
fn a_crash_loop_that_was_placed_anew_is_one_still() {
    let mut world = World::new(1);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    world.healthy(id);
    dies_after(&mut world, id, 1, 2);
    world.pass(2);
    let over = TaskStatus { phase: TaskPhase::Ended, ..backoff(&world, "web", EndReason::Exit(1), 4) };
    world.report(id, AllocState::Failed, vec![over]);
    world.pass(6);
    let next = world.place("web", 0, 1);
    world.healthy(next);
    let shown = status(&world, "web").summary;
    assert_eq!(shown.health, Health::Failing, "{}", shown.why);
    world.pass(3);
    assert_eq!(brief(&world, "web").0, Health::Healthy);
}

#[test]
fn a_service_that_exits_with_0_is_failing_too() {
    let mut world = World::new(1);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    world.healthy(id);
    let down = backoff(&world, "web", EndReason::Exit(0), 2);
    world.report(id, AllocState::Running, vec![down]);
    let shown = status(&world, "web");
    assert_eq!(shown.summary.health, Health::Failing);
    assert_eq!(
        shown.summary.why,
        "web.web.0 on n1: task web: exit code 0; try 2 of 4 at 2023-11-14T22:13:23.000Z"
    );
    assert_eq!(as_json(&shown.allocs[0].tasks[0])["next_start_at"], "2023-11-14T22:13:23.000Z");
}

#[test]
fn a_slot_that_failed_and_is_empty_is_failing_and_says_when_it_is_replaced() {
    let mut world = World::new(1);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    world.healthy(id);
    let failed_at = world.now;
    let ended = TaskStatus { phase: TaskPhase::Ended, ..backoff(&world, "web", EndReason::Signal(9), 4) };
    world.report(id, AllocState::Failed, vec![ended]);
    let shown = status(&world, "web");
    assert_eq!((shown.summary.health, shown.summary.running), (Health::Failing, 0));
    assert_eq!(shown.summary.down_since, Some(failed_at));
    let why = "web.web.0 failed on n1: task web: killed by signal 9 (SIGKILL); placed anew at 2023-11-14T22:13:26.000Z";
    assert_eq!(shown.summary.why, why);
    assert_eq!(shown.groups["web"].next_at, Some(failed_at.plus(Duration::from_secs(5))));
    world.pass(6);
    let replacement = world.place("web", 0, 1);
    let shown = status(&world, "web");
    assert_eq!(shown.summary.health, Health::Pending, "being replaced");
    assert_eq!(shown.summary.down_since, Some(failed_at), "and down since it failed");
    assert_eq!((shown.allocs[0].id, shown.allocs[0].replaces), (replacement, Some(id)), "live ones first");
    assert_eq!(shown.allocs[1].state, AllocState::Failed);
}

/// A task that its node cannot start.
fn cannot_start(world: &World, name: &str) -> TaskStatus {
    let message = "/no/such: No such file or directory".to_owned();
    let reason = EndReason::StartFailed { step: "exec".into(), errno: 2, message };
    TaskStatus { phase: TaskPhase::Ended, ..backoff(world, name, reason, 1) }
}

#[test]
fn what_the_only_node_cannot_start_is_not_tried_again_and_says_what_to_do() {
    let mut world = World::new(1);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    let task = cannot_start(&world, "web");
    world.report(id, AllocState::Failed, vec![task]);
    let next = "not tried again: n1 is left out for this version, and there is no other node; mend the cause, then `minijob restart web`, or run the mended file";
    let why = format!(
        "web.web.0 failed on n1: task web: could not start: /no/such: No such file or directory; {next}"
    );
    for due in [false, true] {
        let shown = status(&world, "web");
        assert_eq!((shown.summary.health, &shown.summary.why), (Health::Failing, &why), "due: {due}");
        assert_eq!((shown.groups["web"].next_at, &shown.groups["web"].waiting), (None, &None), "due: {due}");
        assert_eq!(shown.allocs[0].next, next);
        let list = job_list(&world.state, |_| true, world.now);
        let cause = "web.web.0 failed on n1: task web: could not start: /no/such: No such file or directory";
        assert_eq!(list.items[0].why, format!("{cause}; not tried again"), "the advice stands with the job");
        world.pass(60);
        world.wait("web", 1, "1 of 1 node cannot start it");
    }
}

#[test]
fn what_is_the_same_for_all_that_failed_is_said_once() {
    let mut world = World::new(1);
    world.put(&job("web", 3));
    let ids: Vec<_> = (0..3).map(|index| world.place("web", index, 1)).collect();
    for id in ids {
        let task = cannot_start(&world, "web");
        world.report(id, AllocState::Failed, vec![task]);
    }
    let shown = status(&world, "web");
    let why = &shown.summary.why;
    assert_eq!((why.matches("`minijob restart web`").count(), why.matches("failed on n1").count()), (1, 2));
    assert!(why.contains("; and 1 more; not tried again: n1 is left out"), "{why}");
    let text = "could not start: /no/such: No such file or directory";
    assert_eq!(shown.allocs[0].tasks[0].last_end_text, text, "it took no time");
    let record = world.state.jobs.get(&JobKey::new("default", "web")).expect("the job");
    let next = of_job(&world.state, record, world.now).next;
    assert_eq!(next.len(), 1, "{next:?}");
    assert!(next[0].text.starts_with("3 of web.web are not tried again: n1 is left out"), "{next:?}");
}

#[test]
fn what_one_node_cannot_start_is_placed_on_another_or_waits_for_it() {
    let mut world = World::new(2);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    let task = cannot_start(&world, "web");
    world.report(id, AllocState::Failed, vec![task]);
    let shown = status(&world, "web");
    let at = shown.groups["web"].next_at.expect("servers act");
    let next = format!("placed anew at {at} on another node: n1 is left out for this version");
    assert_eq!(shown.allocs[0].next, next);
    assert!(shown.summary.why.ends_with(&next), "{}", shown.summary.why);
    world.lose(2);
    let shown = status(&world, "web");
    let why = "1 of 2 nodes is down, 1 of 2 nodes cannot start it (could not start: /no/such: No such file or directory)";
    assert_eq!(shown.allocs[0].next, format!("placed anew as soon as a node can take it: {why}"));
    assert_eq!(shown.groups["web"].next_at, None, "no time is promised");
    assert_eq!(shown.groups["web"].waiting.as_ref().map(|waiting| waiting.count), Some(1));
}

#[test]
fn a_hook_that_has_done_its_work_is_no_failure() {
    let mut world = World::new(1);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    let hook = TaskStatus { phase: TaskPhase::Ended, ..backoff(&world, "prepare", EndReason::Exit(0), 1) };
    world.report(id, AllocState::Running, vec![hook, running("web", world.now)]);
    assert_eq!(brief(&world, "web").0, Health::Pending, "{}", status(&world, "web").summary.why);
}

#[test]
fn a_batch_job_that_failed_for_good_says_that_nobody_tries_again() {
    let mut world = World::new(1);
    let mut work = batch("sum", 1);
    work.groups.values_mut().for_each(|group| group.reschedule.attempts = Some(0));
    world.put(&work);
    let id = world.place("sum", 0, 1);
    let task = TaskStatus { phase: TaskPhase::Ended, ..backoff(&world, "sum", EndReason::Oom, 4) };
    world.report(id, AllocState::Failed, vec![task]);
    let shown = status(&world, "sum");
    assert_eq!(shown.summary.health, Health::Failing);
    assert!(
        shown.summary.why.ends_with("not tried again: once the cause is gone, `minijob restart sum.sum.0`")
    );
    assert_eq!(shown.groups["sum"].next_at, None);
}

#[test]
fn a_batch_job_is_complete_when_every_slot_is_done() {
    let mut world = World::new(1);
    world.put(&batch("sum", 2));
    for index in 0..2 {
        assert_ne!(brief(&world, "sum").0, Health::Complete);
        let id = world.place("sum", index, 1);
        world.report(id, AllocState::Complete, vec![running("sum", world.now)]);
    }
    assert_eq!(brief(&world, "sum").0, Health::Complete);
    assert_eq!(status(&world, "sum").groups["sum"].complete, 2);
}

#[test]
fn what_has_no_place_waits_and_says_why() {
    let mut world = World::new(1);
    world.put(&job("web", 3));
    world.pass(5);
    let since = world.now;
    world.wait("web", 3, "1 of 1 nodes lacks memory");
    world.pass(60);
    let shown = status(&world, "web");
    assert_eq!(shown.summary.health, Health::Waiting);
    assert_eq!(shown.summary.why, "3 allocations of web cannot be placed: 1 of 1 nodes lacks memory");
    assert_eq!(shown.summary.down_since, Some(since));
    let waiting = as_json(&shown.groups["web"].waiting);
    assert_eq!(waiting, json!({"count": 3, "why": "1 of 1 nodes lacks memory"}));
    let record = world.state.jobs.get(&JobKey::new("default", "web")).expect("the job");
    let group = &placement(&world.state, record, world.state.revision).groups["web"];
    assert_eq!((group.wanted, group.placed.len()), (3, 0));
    assert!(group.waiting.is_some());
}

#[test]
fn a_lost_node_makes_its_work_pending_since_then() {
    let mut world = World::new(2);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    world.healthy(id);
    world.pass(100);
    let lost_at = world.now;
    world.lose(1);
    let shown = status(&world, "web");
    assert_eq!(shown.summary.health, Health::Pending);
    assert_eq!(shown.summary.why, "web: 1 of 1 not placed yet, 1 lost with node n1");
    assert_eq!(shown.summary.down_since, Some(lost_at));
    assert!(shown.allocs[0].lost);
    let next = world.place("web", 0, 2);
    world.pass(1);
    assert_eq!(status(&world, "web").summary.down_since, Some(lost_at), "until the replacement is healthy");
    world.healthy(next);
    assert_eq!(brief(&world, "web"), (Health::Healthy, [1, 1, 1]));
    let nodes = node_list(&world.state);
    let shown: Vec<_> =
        nodes.items.iter().map(|node| (node.name.as_str(), as_json(&node.liveness), node.allocs)).collect();
    assert_eq!(shown, [("n1", json!("down"), 1), ("n2", json!("up"), 1)]);
}

#[test]
fn work_of_an_older_version_does_not_count_as_healthy_for_the_new_one() {
    let mut world = World::new(1);
    let mut work = job("web", 1);
    world.put(&work);
    let id = world.place("web", 0, 1);
    world.healthy(id);
    for task in work.groups.values_mut().flat_map(|group| group.tasks.values_mut()) {
        task.env.insert("COLOR".into(), "blue".into());
    }
    world.put(&work);
    let shown = status(&world, "web");
    assert_eq!((shown.summary.version.0, shown.summary.health), (2, Health::Pending));
    assert_eq!(shown.summary.why, "web: 1 of 1 not placed yet, 1 of an older version");
    let record = world.state.jobs.get(&JobKey::new("default", "web")).expect("the job");
    assert!(
        placement(&world.state, record, world.state.revision).groups["web"].placed.is_empty(),
        "nothing of it is placed yet"
    );
}

#[test]
fn a_write_says_what_it_has_stopped_and_what_stays() {
    let mut world = World::new(1);
    let mut work = job("web", 3);
    world.put(&work);
    let ids: Vec<_> = (0..3).map(|index| world.place("web", index, 1)).collect();
    work.groups.values_mut().for_each(|group| group.count = 1);
    world.put(&work);
    let write = world.state.revision;
    let stop = |id| PlanStop { alloc: id, reason: StopReason::ScaledDown };
    world.plan(Plan { stops: ids[1..].iter().copied().map(stop).collect(), ..Plan::default() });
    world.report(ids[2], AllocState::Stopped, vec![]);
    let record = world.state.jobs.get(&JobKey::new("default", "web")).expect("the job");
    let group = &placement(&world.state, record, write).groups["web"];
    assert_eq!((group.stops, group.stays, group.placed["n1"]), (2, 1, 1), "also what has ended since");
    let group = &placement(&world.state, record, world.state.revision).groups["web"];
    assert_eq!((group.stops, group.stays), (0, 1), "a later write has stopped nothing");
}

#[test]
fn a_stopped_job_wants_nothing_and_is_not_down() {
    let mut world = World::new(1);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    world.healthy(id);
    world.stop("web");
    let shown = status(&world, "web");
    assert_eq!((shown.summary.health, shown.summary.wanted), (Health::Stopped, 0));
    assert_eq!((shown.summary.down_since, shown.summary.why.as_str()), (None, "1 still stopping"));
    assert_eq!(shown.summary.running, 1, "it still runs");
}

#[test]
fn the_unhealthy_come_first() {
    let mut world = World::new(1);
    for name in ["a", "b", "c", "d"] {
        world.put(&job(name, 1));
    }
    world.stop("a");
    let healthy = world.place("b", 0, 1);
    world.healthy(healthy);
    world.wait("d", 1, "no room");
    let names: Vec<String> =
        job_list(&world.state, |_| true, world.now).items.into_iter().map(|job| job.name).collect();
    assert_eq!(names, ["d", "c", "b", "a"]);
    assert_eq!(job_list(&world.state, |record| record.key.name == "b", world.now).items.len(), 1);
}

#[test]
fn a_very_large_job_has_a_bounded_document_that_keeps_what_is_wrong() {
    let mut world = World::new(1);
    let mut large = job("web", 60);
    large.groups.values_mut().for_each(|group| group.ports.clear());
    world.put(&large);
    let ids: Vec<_> = (0..60).map(|index| world.place("web", index, 1)).collect();
    ids[5..].iter().for_each(|id| world.healthy(*id));
    for id in &ids[..5] {
        world.report(*id, AllocState::Running, vec![backoff(&world, "web", EndReason::Exit(7), 1)]);
    }
    let record = world.state.jobs.get(&JobKey::new("default", "web")).expect("the job");
    let tail = "boom\n".len();
    let shown = super::job::allocs(&world.state, record, 10, 2 * tail);
    assert_eq!(shown.len(), 10);
    let down: Vec<u32> = shown.iter().filter(|alloc| !alloc.healthy).map(|alloc| alloc.index).collect();
    assert_eq!(down, [0, 1, 2, 3, 4], "what is not healthy is kept");
    let ends = shown.iter().filter_map(|alloc| alloc.tasks[0].last_end.as_ref());
    assert_eq!(ends.map(|end| end.tail.len()).sum::<usize>(), 2 * tail, "two outputs tell enough");
    let summary = status(&world, "web").summary;
    assert_eq!((summary.wanted, summary.healthy), (60, 55), "the numbers are those of all");
    assert!(summary.why.contains("; and 3 more; try 1 of 4 at "), "{}", summary.why);
}
