//! What agents report moves forward only.

use super::*;

#[test]
fn observed_state_never_goes_back_and_old_reports_change_nothing() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle();
    let id = world.live("web")[0];
    world.report(0, status(id, 2, AllocState::Running, TaskPhase::Running, None));
    world.report(0, status(id, 1, AllocState::Starting, TaskPhase::Starting, None));
    world.report(0, status(id, 3, AllocState::Starting, TaskPhase::Starting, None));
    assert_eq!(world.alloc(id).state, AllocState::Running);
    world.report(0, status(id, 4, AllocState::Failed, TaskPhase::Ended, Some(EndReason::Exit(7))));
    world.report(0, status(id, 5, AllocState::Running, TaskPhase::Running, None));
    assert_eq!(world.alloc(id).state, AllocState::Failed, "an end is final");
}

#[test]
fn a_report_of_an_earlier_session_is_refused() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle();
    let id = world.live("web")[0];
    world.register(0, vec![]);
    let statuses = vec![status(id, 9, AllocState::Running, TaskPhase::Running, None)];
    let put = Kind::AllocStatus { node: world.node(0), generation: Generation(1), statuses };
    assert!(matches!(world.apply(put).outcome, Outcome::Refused(_)));
}

#[test]
fn a_failure_is_replaced_after_its_delay_by_the_reschedule_policy() {
    let mut world = World::new(2);
    world.put(job("web", 1));
    world.settle();
    let first = world.live("web")[0];
    let on = world.alloc(first).node;
    world.report_on(on, status(first, 1, AllocState::Failed, TaskPhase::Ended, Some(EndReason::Exit(7))));
    world.settle();
    assert!(world.live("web").is_empty(), "the delay is not over");
    let due = schedule(&world.state, &[JobKey::new("default", "web")], world.state.now).wake_at;
    assert_eq!(
        due.values().copied().collect::<Vec<_>>(),
        [world.state.now.plus(std::time::Duration::from_secs(5))]
    );
    world.pass(5000);
    world.settle();
    let second = world.alloc(world.live("web")[0]);
    assert_ne!(second.node, on, "another node fits");
    assert_eq!((second.previous, second.replacements), (Some(first), 1));
    world.check();
}

#[test]
fn what_can_never_start_leaves_the_node_out_and_does_not_spin() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle();
    let id = world.live("web")[0];
    let failed =
        EndReason::StartFailed { step: "exec".into(), errno: 2, message: "/nope: no such file".into() };
    world.report(0, status(id, 1, AllocState::Failed, TaskPhase::Ended, Some(failed)));
    world.pass(600_000);
    world.settle();
    assert!(world.live("web").is_empty());
    let group = &world.state.jobs.get(&JobKey::new("default", "web")).expect("job").groups["web"];
    assert_eq!(
        group.wait.as_ref().expect("says why").why,
        "the only node cannot start it (could not start: /nope: no such file)"
    );
}

#[test]
fn on_exhausted_fail_waits_for_a_person() {
    let mut world = World::new(2);
    let mut spec = job("web", 1);
    spec.groups.get_mut("web").expect("group").restart.on_exhausted = OnExhausted::Fail;
    world.put(spec);
    world.settle();
    let id = world.live("web")[0];
    let on = world.alloc(id).node;
    world.report_on(on, status(id, 1, AllocState::Failed, TaskPhase::Ended, Some(EndReason::Exit(1))));
    world.pass(3_600_000);
    world.settle();
    assert!(world.live("web").is_empty());
}

#[test]
fn a_start_that_failed_for_a_passing_reason_does_not_ban_the_node() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle();
    let id = world.live("web")[0];
    let full =
        EndReason::StartFailed { step: "log".into(), errno: 28, message: "no space left on device".into() };
    world.report(0, status(id, 1, AllocState::Failed, TaskPhase::Ended, Some(full)));
    world.pass(6000);
    world.settle();
    assert_eq!(world.live("web").len(), 1, "tried again, on the only node");
}

#[test]
fn the_first_bad_end_explains_a_failure_and_not_what_ran_after_it() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle();
    let id = world.live("web")[0];
    let end = |name: &str, at: u64, reason: EndReason| {
        let end = TaskEnd { reason, at: Timestamp(at), ran: Default::default(), tail: String::new() };
        let one = status(id, 1, AllocState::Failed, TaskPhase::Ended, None);
        TaskStatus { name: name.into(), last_end: Some(end), ..one.tasks[0].clone() }
    };
    let missing = EndReason::StartFailed { step: "exec".into(), errno: 2, message: "no such file".into() };
    let tasks = vec![
        end("after", 9, missing),
        end("beside", 6, EndReason::Stopped),
        end("web", 5, EndReason::Exit(7)),
    ];
    world.report(0, AllocStatus { id, seq: 1, state: AllocState::Failed, tasks });
    let told = world.state.events.all().find(|event| event.kind == EventKind::AllocFailed).expect("told");
    assert_eq!(told.message, "web.web.0 ended failed: task web: exit code 7");
    world.pass(6000);
    world.settle();
    assert_eq!(world.live("web").len(), 1, "the node can start it");
}

#[test]
fn a_service_that_ended_well_and_was_given_up_says_why_it_failed() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle_healthy();
    let id = world.live("web")[0];
    world.report(0, status(id, 60, AllocState::Failed, TaskPhase::Ended, Some(EndReason::Exit(0))));
    let key = JobKey::new("default", "web");
    let failed = world.state.events.of_job(&key);
    let failed = failed.filter(|event| event.kind == EventKind::AllocFailed).last().expect("it failed");
    assert_eq!(failed.message, "web.web.0 ended failed: task web: exit code 0");
    assert_eq!(failed.reason, EndReason::Exit(0).word());
}
