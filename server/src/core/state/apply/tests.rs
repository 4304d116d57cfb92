//! Small worlds, built by commands alone.

use std::collections::BTreeMap;

use proto::ids::{
    AllocId, Generation, Incarnation, JobKey, JobVersion, NodeId, RequestId, Revision, ServerId,
};
use proto::model::{
    AllocState, AllocStatus, Desired, EndReason, EventKind, Liveness, OnExhausted, Port, Resources,
    StopReason, TaskEnd, TaskPhase, TaskStatus,
};
use proto::time::Timestamp;

use crate::core::scheduler::schedule;
use crate::core::state::{
    Applied, Command, Kind, LivenessChange, Outcome, Plan, PlanItem, PlanRun, Settings, State, read_snapshot,
    write_snapshot,
};
use crate::core::testing::{INCARNATION, World, job, node_identity};

fn status(id: AllocId, seq: u64, state: AllocState, phase: TaskPhase, end: Option<EndReason>) -> AllocStatus {
    let last_end =
        end.map(|reason| TaskEnd { reason, at: Timestamp(1), ran: Default::default(), tail: "boom".into() });
    let task = TaskStatus {
        name: "web".into(),
        phase,
        attempt: 1,
        window_try: 1,
        window_tries: Some(4),
        pid: 7,
        started_at: None,
        last_end,
    };
    AllocStatus { id, seq, state, tasks: vec![task] }
}

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
fn a_plan_is_refused_run_by_run() {
    let mut world = World::new(2);
    world.put(job("web", 4));
    let [a, b] = [world.node(0), world.node(1)];
    let run = |node, generation, first_index, count| PlanRun { node, generation, first_index, count };
    let item = PlanItem {
        job: JobKey::new("default", "web"),
        version: JobVersion(1),
        group: "web".into(),
        runs: vec![
            run(a, Generation(1), 0, 1),
            run(b, Generation(9), 1, 1),
            run(a, Generation(1), 0, 1),
            run(b, Generation(1), 1, 200),
        ],
    };
    let applied = world.plan(Plan { items: vec![item], ..Plan::default() });
    let Outcome::Planned { refused } = &applied.outcome else { panic!("{applied:?}") };
    let why: Vec<&str> = refused.iter().map(|run| run.why).collect();
    assert_eq!(why, ["generation changed", "slot is filled", "cpu"]);
    assert_eq!(world.live("web").len(), 1);
    assert!(applied.changes.jobs.contains(&JobKey::new("default", "web")), "its job stays dirty");
    world.check();
}

#[test]
fn a_plan_of_an_earlier_reign_or_out_of_order_changes_nothing() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    let plan = world.decide();
    let old = Plan { reign: Revision(0), ..plan.clone() };
    assert!(matches!(world.apply(Kind::ApplyPlan(old)).outcome, Outcome::Refused(_)));
    let done = world.apply(Kind::ApplyPlan(plan.clone()));
    assert!(matches!(done.outcome, Outcome::Planned { .. }));
    assert!(matches!(world.apply(Kind::ApplyPlan(plan)).outcome, Outcome::Refused(_)), "the same plan twice");
    assert_eq!(world.live("web").len(), 1);
}

#[test]
fn room_is_taken_until_the_end_is_reported() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle();
    let id = world.live("web")[0];
    let taken = world.state.nodes.get(&world.node(0)).expect("node").used;
    assert_eq!(taken, Resources { cpu_millis: 100, memory_bytes: 64 << 20 });
    world.apply(Kind::StopJob { key: JobKey::new("default", "web"), purge: false });
    world.settle();
    assert_eq!(world.alloc(id).desired, Desired::Stop(StopReason::JobStopped));
    assert_eq!(world.state.nodes.get(&world.node(0)).expect("node").used, taken, "it still runs");
    world.report(0, status(id, 1, AllocState::Stopped, TaskPhase::Ended, Some(EndReason::Stopped)));
    assert_eq!(world.state.nodes.get(&world.node(0)).expect("node").used, Resources::default());
    world.check();
}

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
        "1 of 1 node cannot start it (could not start: /nope: no such file)"
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
fn a_lost_nodes_work_is_replaced_at_once_and_ended_when_it_returns() {
    let mut world = World::new(2);
    world.put(job("web", 1));
    world.settle();
    let first = world.live("web")[0];
    let on = world.alloc(first).node;
    world.report_on(on, status(first, 1, AllocState::Running, TaskPhase::Running, None));
    world.lose(on);
    world.settle();
    let second = *world.live("web").iter().find(|id| **id != first).expect("replaced");
    assert_ne!(world.alloc(second).node, on);
    assert_eq!(world.alloc(second).replacements, 0, "a lost node uses up no attempt");
    world.check();

    let at = world.index_of(on);
    world.register(at, vec![(INCARNATION, status(first, 1, AllocState::Running, TaskPhase::Running, None))]);
    assert_eq!(world.alloc(first).desired, Desired::Stop(StopReason::NodeLost));
    assert!(world.alloc(first).counted, "it really runs there");
    world.settle();
    assert_eq!(world.live("web").len(), 2, "nothing more is placed while the old one ends");
    world.report_on(on, status(first, 2, AllocState::Stopped, TaskPhase::Ended, Some(EndReason::Stopped)));
    assert_eq!(world.live("web"), [second]);
    world.check();
}

#[test]
fn a_lost_allocation_that_was_not_replaced_is_found_again() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle();
    let id = world.live("web")[0];
    world.report(0, status(id, 1, AllocState::Running, TaskPhase::Running, None));
    let node = world.node(0);
    world.lose(node);
    world.settle();
    world.register(0, vec![(INCARNATION, status(id, 1, AllocState::Running, TaskPhase::Running, None))]);
    world.settle();
    assert_eq!(world.live("web"), [id], "the same allocation, and nothing in its place");
    assert!(!world.alloc(id).lost);
    assert_eq!(world.alloc(id).desired, Desired::Run);
    world.check();
}

#[test]
fn a_plan_in_flight_from_before_a_loss_is_refused() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    let plan = world.decide();
    let node = world.node(0);
    world.lose(node);
    world.register(0, vec![]);
    let Outcome::Planned { refused } = world.apply(Kind::ApplyPlan(plan)).outcome else {
        panic!("refused whole")
    };
    assert_eq!(refused[0].why, "generation changed");
}

#[test]
fn work_that_the_agent_does_not_have_any_more_is_replaced() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle();
    let id = world.live("web")[0];
    world.report(0, status(id, 1, AllocState::Running, TaskPhase::Running, None));
    world.register(0, vec![]);
    assert!(world.alloc(id).has_ended());
    world.settle();
    assert_eq!(world.live("web").len(), 1);
    assert_ne!(world.live("web")[0], id);
    world.check();
}

#[test]
fn what_was_placed_and_not_yet_heard_of_is_kept_over_a_registration() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle();
    let id = world.live("web")[0];
    world.register(0, vec![]);
    world.settle();
    assert_eq!(world.live("web"), [id]);
}

#[test]
fn foreign_work_takes_room_until_it_ends() {
    let mut world = World::new(1);
    let foreign = status(AllocId(999), 1, AllocState::Running, TaskPhase::Running, None);
    let identity = node_identity(0);
    let resources = Resources { cpu_millis: 3950, memory_bytes: 1 };
    let held = vec![(Incarnation(1234), foreign, resources)];
    world.apply(Kind::RegisterNode { identity, held });
    world.put(job("web", 1));
    world.settle();
    assert!(world.live("web").is_empty(), "no cpu left");
    world
        .report(0, status(AllocId(999), 2, AllocState::Complete, TaskPhase::Ended, Some(EndReason::Exit(0))));
    world.settle();
    assert_eq!(world.live("web").len(), 1);
    world.check();
}

#[test]
fn a_smaller_bound_on_events_makes_a_state_and_its_snapshot_forget_the_same() {
    let mut world = World::new(1);
    world.put(job("web", 3));
    world.settle_healthy();
    let settings = Settings { events_per_subject: 1, ..Settings::default() };
    world.apply(Kind::PutSettings(settings));
    assert_eq!(world.state.events.of_job(&JobKey::new("default", "web")).count(), 1);
    let bytes = |state: &State| {
        let mut bytes = Vec::new();
        write_snapshot(state, &mut bytes).unwrap();
        bytes
    };
    let once = bytes(&world.state);
    assert!(bytes(&read_snapshot(&mut once.as_slice()).unwrap()) == once);
}

#[test]
fn foreign_work_that_is_named_twice_takes_room_once() {
    let mut world = World::new(1);
    let foreign = |seq| status(AllocId(999), seq, AllocState::Running, TaskPhase::Running, None);
    let taken = |cpu_millis| Resources { cpu_millis, memory_bytes: 1 };
    let held =
        vec![(Incarnation(1234), foreign(1), taken(2000)), (Incarnation(1235), foreign(2), taken(1000))];
    world.apply(Kind::RegisterNode { identity: node_identity(0), held });
    world.check();
    world
        .report(0, status(AllocId(999), 3, AllocState::Complete, TaskPhase::Ended, Some(EndReason::Exit(0))));
    world.check();
    assert_eq!(world.state.nodes.get(&world.node(0)).expect("known").used, Resources::default());
}

#[test]
fn a_cloned_machine_and_a_taken_name_are_refused() {
    let mut world = World::new(2);
    let mut clone = node_identity(0);
    clone.machine_id = "another".into();
    let Outcome::Refused(refusal) = world.apply(Kind::RegisterNode { identity: clone, held: vec![] }).outcome
    else {
        panic!("accepted a clone");
    };
    assert!(refusal.message.contains("cloned VM"), "{}", refusal.message);
    let mut twin = node_identity(1);
    (twin.id, twin.machine_id) = (NodeId(77), "m77".into());
    let Outcome::Refused(refusal) = world.apply(Kind::RegisterNode { identity: twin, held: vec![] }).outcome
    else {
        panic!("accepted a taken name");
    };
    assert!(refusal.message.contains("--name"), "{}", refusal.message);
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
fn static_ports_conflict_and_dynamic_ones_differ() {
    let mut world = World::new(1);
    let mut fixed = job("fixed", 2);
    fixed.groups.get_mut("fixed").expect("group").ports =
        BTreeMap::from([("http".into(), Port::Static(8080))]);
    world.put(fixed);
    let mut free = job("free", 3);
    free.groups.get_mut("free").expect("group").ports =
        BTreeMap::from([("a".into(), Port::Dynamic), ("b".into(), Port::Dynamic)]);
    world.put(free);
    world.settle();
    assert_eq!((world.live("fixed").len(), world.live("free").len()), (1, 3));
    let wait =
        world.state.jobs.get(&JobKey::new("default", "fixed")).expect("job").groups["fixed"].wait.clone();
    assert_eq!(wait.expect("waits").why, "1 of 1 node has port 8080 in use by fixed.fixed.0 on n0");
    let ports: std::collections::BTreeSet<u16> = world
        .live("free")
        .iter()
        .flat_map(|id| world.alloc(*id).ports.to_vec())
        .map(|(_, port)| port)
        .collect();
    assert_eq!(ports.len(), 6);
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
fn time_of_the_state_never_goes_back() {
    let mut state = State::default();
    let begin = |now| {
        let kind = Kind::BeginReign { server: ServerId(1), boot_nonce: 1, incarnation: Incarnation(5) };
        Command::own(Timestamp(now), kind)
    };
    state.apply(begin(100));
    let Applied { .. } = state.apply(begin(50));
    assert_eq!(state.now, Timestamp(100));
    assert_eq!(state.revision, Revision(2));
}

#[test]
fn a_lease_that_ends_for_an_earlier_session_loses_nothing() {
    let mut world = World::new(1);
    world.register(0, vec![]);
    let change = LivenessChange { node: world.node(0), generation: Generation(1), liveness: Liveness::Down };
    world.apply(Kind::NodeLiveness(vec![change]));
    assert_eq!(world.state.nodes.get(&world.node(0)).expect("node").liveness, Liveness::Up);
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
fn a_plan_does_not_fill_a_group_beyond_its_count_when_something_lost_came_back_meanwhile() {
    let mut world = World::new(3);
    world.put(job("web", 3));
    world.settle();
    let back = *world.live("web").last().expect("placed");
    let node = world.alloc(back).node;
    let number = world.index_of(node);
    world.report(number, status(back, 1, AllocState::Running, TaskPhase::Running, None));
    world.lose(node);
    // Decided while it was lost, for another slot than the one it has.
    let item = PlanItem {
        job: JobKey::new("default", "web"),
        version: JobVersion(1),
        group: "web".into(),
        runs: vec![PlanRun {
            node: world.node((number + 1) % 3),
            generation: Generation(1),
            first_index: 7,
            count: 1,
        }],
    };
    world.register(
        number,
        vec![(INCARNATION, status(back, 1, AllocState::Running, TaskPhase::Running, None))],
    );
    let applied = world.plan(Plan { items: vec![item], ..Plan::default() });
    let Outcome::Planned { refused } = applied.outcome else { panic!("{applied:?}") };
    assert_eq!(refused.iter().map(|run| run.why).collect::<Vec<_>>(), ["group is full"]);
    assert_eq!(world.live("web").len(), 3);
    world.check();
}

#[test]
fn a_slot_that_was_lost_twice_remembers_both_whatever_ends_first() {
    let mut world = World::new(3);
    world.put(job("web", 1));
    let mut lost = Vec::new();
    for _ in 0..2 {
        world.settle();
        let id = *world.live("web").last().expect("placed");
        world.lose(world.alloc(id).node);
        lost.push(id);
    }
    let number = world.index_of(world.alloc(lost[1]).node);
    world.register(number, vec![]);
    let record = world.state.jobs.get(&JobKey::new("default", "web")).expect("job");
    assert_eq!(
        record.lost_of("web", 0),
        Some(lost[0]),
        "a server that restarts reads the same from its snapshot"
    );
}

#[test]
fn a_registration_that_was_overtaken_by_a_newer_one_tells_of_the_past() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle();
    let id = world.live("web")[0];
    let opened = |at| proto::model::NodeIdentity { opened: proto::time::BootTime(at), ..node_identity(0) };
    let running = status(id, 1, AllocState::Running, TaskPhase::Running, None);
    let held = vec![(INCARNATION, running, Resources::default())];
    world.apply(Kind::RegisterNode { identity: opened(2000), held });
    let late = world.apply(Kind::RegisterNode { identity: opened(1000), held: vec![] }).outcome;
    assert!(matches!(late, Outcome::Refused(_)), "{late:?}");
    assert!(!world.alloc(id).has_ended(), "it runs on");
    let mut rebooted = opened(10);
    rebooted.boot_id = "another".into();
    let fresh = world.apply(Kind::RegisterNode { identity: rebooted, held: vec![] }).outcome;
    assert!(matches!(fresh, Outcome::Registered { .. }), "the clock began anew with the boot: {fresh:?}");
}

#[test]
fn a_slot_that_is_done_is_not_run_again_by_a_plan_that_was_in_flight() {
    let mut world = World::new(2);
    world.put(crate::core::testing::batch("sum", 1));
    world.settle();
    let first = world.live("sum")[0];
    let on = world.alloc(first).node;
    let mut running = status(first, 1, AllocState::Running, TaskPhase::Running, None);
    running.tasks[0].name = "sum".into();
    world.report_on(on, running);
    world.lose(on);
    let in_flight = world.decide();
    let mut done = status(first, 2, AllocState::Complete, TaskPhase::Ended, Some(EndReason::Exit(0)));
    done.tasks[0].name = "sum".into();
    world.register(world.index_of(on), vec![(INCARNATION, done)]);
    let Outcome::Planned { refused } = world.apply(Kind::ApplyPlan(in_flight)).outcome else {
        panic!("refused whole")
    };
    assert_eq!(refused.len(), 1, "its work is done");
    world.settle();
    assert!(world.live("sum").is_empty());
    world.check();
}

#[test]
fn a_slot_that_was_given_up_takes_no_place_from_what_a_smaller_count_wants() {
    let mut world = World::new(3);
    let mut spec = job("web", 3);
    spec.groups.get_mut("web").expect("group").restart.on_exhausted = OnExhausted::Fail;
    world.put(spec.clone());
    world.settle_healthy();
    let last = *world.live("web").iter().max_by_key(|id| world.alloc(**id).index).expect("three");
    world.report_on(
        world.alloc(last).node,
        status(last, 90, AllocState::Failed, TaskPhase::Ended, Some(EndReason::Exit(1))),
    );
    spec.groups.get_mut("web").expect("group").count = 2;
    world.put(spec);
    world.settle();
    let lost = world.alloc(world.live("web")[0]).node;
    world.lose(lost);
    world.settle();
    let active = world.live("web").iter().filter(|id| world.alloc(**id).is_active()).count();
    assert_eq!(active, 2, "the lost one is replaced");
    world.check();
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
