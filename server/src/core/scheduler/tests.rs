//! What is decided, told as people would tell it: a world, the words of its decision.

mod advice;
mod brake;
mod dependencies;
mod domains;
mod drain;
mod everywhere;
mod fairness;
mod fences;
mod loss;
mod placement;
mod promises;

use proto::ids::{AllocId, JobKey};
use proto::model::{
    AllocState, AllocStatus, Eligibility, EndReason, Job, Port, Resources, TaskEnd, TaskPhase, TaskStatus,
};
use proto::time::Timestamp;

use super::{Decision, schedule};
use crate::core::state::{Kind, State};
use crate::core::testing::{World, batch, job, node_identity};

fn decide(state: &State) -> Decision {
    let jobs: Vec<JobKey> = state.jobs.iter().map(|(key, _)| key.clone()).collect();
    schedule(state, &jobs, state.now)
}

/// A decision in words. Nodes have their names, since ids mean nothing to people.
fn tell(state: &State, decision: &Decision) -> String {
    let mut lines: Vec<String> = decision.placed.iter().map(ToString::to_string).collect();
    for stop in &decision.plan.stops {
        let name = state.allocs.get(stop.alloc).map(|alloc| alloc.name()).unwrap_or_default();
        lines.push(format!("stop {name}: {}", crate::core::state::stop_word(stop.reason)));
    }
    for update in &decision.plan.updates {
        let name = state.allocs.get(update.alloc).map(|alloc| alloc.name()).unwrap_or_default();
        lines.push(format!("update {name} to version {}", update.version));
    }
    for wait in &decision.plan.waits {
        lines.push(format!("{} of {}.{} wait: {}", wait.count, wait.job, wait.group, wait.why));
    }
    for (job, at) in &decision.wake_at {
        lines.push(format!("look at {job} again at {}", at.0));
    }
    let mut text = lines.join("\n");
    for (id, node) in state.nodes.iter() {
        text = text.replace(&id.to_string(), &node.identity.name);
    }
    text
}

#[track_caller]
fn check(world: &World, expected: &str) {
    let told = tell(&world.state, &decide(&world.state));
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(told, expected.join("\n"), "\n{told}\n");
}

fn taking(mut job: Job, cpu_millis: u64, memory_bytes: u64) -> Job {
    for task in job.groups.values_mut().flat_map(|group| group.tasks.values_mut()) {
        task.resources = Resources { cpu_millis, memory_bytes };
    }
    job
}

fn on_port(mut job: Job, port: u16) -> Job {
    for group in job.groups.values_mut() {
        group.ports.insert("p".into(), Port::Static(port));
    }
    job
}

fn cordon(world: &mut World, node: u64) {
    let node = world.node(node);
    world.apply(Kind::NodeEligibility { node, eligibility: Eligibility::Cordoned });
}

/// The one allocation of a job ends.
fn end(world: &mut World, id: AllocId, reason: EndReason) {
    let alloc = world.alloc(id).clone();
    let state = if reason.is_success() { AllocState::Complete } else { AllocState::Failed };
    let last_end = Some(TaskEnd { reason, at: Timestamp(1), ran: Default::default(), tail: String::new() });
    let task = TaskStatus {
        name: alloc.group.to_string(),
        phase: TaskPhase::Ended,
        attempt: 1,
        window_try: 1,
        window_tries: None,
        pid: 0,
        started_at: None,
        last_end,
    };
    world.report_on(alloc.node, AllocStatus { id, seq: 99, state, tasks: vec![task] });
}

/// What an agent that has the allocation says of it.
fn running(id: AllocId) -> AllocStatus {
    AllocStatus { id, seq: 99, state: AllocState::Running, tasks: Vec::new() }
}

#[test]
fn a_group_spreads_over_nodes_and_then_fills_them() {
    let mut world = World::new(2);
    world.put(taking(job("web", 3), 1000, 1 << 30));
    check(
        &world,
        "
        place web.web.0 on n0: best of 2 that fit; 0 of the group there before; then 25% cpu, 12% memory in use
        place web.web.1 on n1: best of 2 that fit; 0 of the group there before; then 25% cpu, 12% memory in use
        place web.web.2 on n0: best of 2 that fit; 1 of the group there before; then 50% cpu, 25% memory in use
        ",
    );
}

#[test]
fn different_jobs_fill_a_node_before_they_begin_another() {
    let mut world = World::new(3);
    for name in ["a", "b", "c"] {
        world.put(taking(job(name, 1), 1000, 2 << 30));
    }
    check(
        &world,
        "
        place a.a.0 on n0: best of 3 that fit; 0 of the group there before; then 25% cpu, 25% memory in use
        place b.b.0 on n0: best of 3 that fit; 0 of the group there before; then 50% cpu, 50% memory in use
        place c.c.0 on n0: best of 3 that fit; 0 of the group there before; then 75% cpu, 75% memory in use
        ",
    );
}

#[test]
fn many_jobs_of_one_decision_do_not_take_the_same_room() {
    let mut world = World::new(1);
    for name in ["a", "b", "c"] {
        world.put(taking(job(name, 1), 2000, 1 << 20));
    }
    let decision = decide(&world.state);
    assert_eq!(decision.placed.len(), 2);
    assert_eq!(decision.waiting, [JobKey::new("default", "c")].into());
    assert!(tell(&world.state, &decision).ends_with("1 of c.c wait: the only node lacks cpu (2 asked)"));
}

#[test]
fn what_has_no_place_says_why_with_counts() {
    let mut world = World::new(4);
    world.lose(world.node(3));
    cordon(&mut world, 2);
    world.put(taking(job("cpu", 1), 4001, 1));
    world.put(taking(job("memory", 2), 1, 9 << 30));
    check(
        &world,
        "
        1 of cpu.cpu wait: 2 of 4 nodes lack cpu (4001m asked), 1 of 4 nodes is down, 1 of 4 nodes is cordoned
        2 of memory.memory wait: 2 of 4 nodes lack memory (9GiB asked), 1 of 4 nodes is down, 1 of 4 nodes is cordoned
        ",
    );
}

#[test]
fn who_holds_a_static_port_is_named() {
    let mut world = World::new(1);
    world.put(on_port(job("first", 1), 8080));
    world.settle();
    world.put(on_port(job("second", 1), 8080));
    check(&world, "1 of second.second wait: the only node has port 8080 in use by first.first.0 on n0");
}

#[test]
fn two_of_a_group_with_a_static_port_need_two_nodes() {
    let mut world = World::new(2);
    world.put(on_port(job("web", 3), 80));
    let decision = decide(&world.state);
    assert_eq!(decision.placed.len(), 2);
    assert_eq!(decision.plan.waits[0].count, 1);
    assert!(decision.plan.waits[0].why.contains("port 80 in use"), "{:?}", decision.plan.waits);
}

#[test]
fn without_nodes_the_wait_says_what_to_do() {
    let mut world = World::new(0);
    world.put(job("web", 1));
    check(&world, "1 of web.web wait: there are no nodes: start an agent");
}

#[test]
fn what_failed_goes_elsewhere_when_it_is_due() {
    let mut world = World::new(2);
    world.put(job("web", 1));
    world.settle_healthy();
    let id = world.live("web")[0];
    end(&mut world, id, EndReason::Exit(1));
    check(&world, &format!("look at web again at {}", world.state.now.0 + 5000));
    world.pass(5000);
    check(
        &world,
        "place web.web.0 on n1: best of 2 that fit; 0 of the group there before; then 2% cpu, 0% memory in use",
    );
}

#[test]
fn what_failed_returns_to_its_node_only_when_no_other_fits() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle_healthy();
    let id = world.live("web")[0];
    end(&mut world, id, EndReason::Exit(1));
    world.pass(5000);
    check(
        &world,
        "place web.web.0 on n0: best of 1 that fit; 0 of the group there before; then 2% cpu, 0% memory in use; it failed there, and no other node fits",
    );
}

#[test]
fn what_can_never_start_on_a_node_is_not_tried_there_again() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle_healthy();
    let id = world.live("web")[0];
    let message = "/opt/web: no such file".to_owned();
    end(&mut world, id, EndReason::StartFailed { step: "exec".into(), errno: 2, message });
    world.pass(5000);
    check(
        &world,
        "1 of web.web wait: the only node cannot start it (could not start: /opt/web: no such file)",
    );
}

#[test]
fn batch_work_that_is_done_is_not_done_again() {
    let mut world = World::new(2);
    world.put(batch("sum", 2));
    world.settle();
    let ids = world.live("sum");
    end(&mut world, ids[0], EndReason::Exit(0));
    check(&world, "");
    end(&mut world, ids[1], EndReason::Exit(0));
    check(&world, "");
    assert_eq!(world.live("sum"), []);
}

#[test]
fn fewer_are_wanted_and_the_highest_index_goes() {
    let mut world = World::new(2);
    world.put(job("web", 3));
    world.settle_healthy();
    world.put(job("web", 2));
    check(
        &world,
        "
        stop web.web.2: scaled_down
        update web.web.0 to version 2
        update web.web.1 to version 2
        ",
    );
}

#[test]
fn other_work_takes_the_place_of_the_old_one_by_one() {
    let mut world = World::new(2);
    world.put(job("web", 2));
    world.settle_healthy();
    world.put(taking(job("web", 2), 200, 1 << 20));
    check(&world, "stop web.web.0: replaced");
}

#[test]
fn fewer_are_wanted_of_other_work_and_the_highest_index_goes_before_the_rest_is_replaced_one_by_one() {
    let mut world = World::new(1);
    world.put(job("web", 3));
    world.settle_healthy();
    // Index 0 is now the youngest.
    let first = world.live("web")[0];
    end(&mut world, first, EndReason::Exit(1));
    world.pass(5000);
    world.settle_healthy();
    world.put(taking(job("web", 2), 200, 1 << 20));
    check(&world, "stop web.web.2: scaled_down");
    let plan = decide(&world.state).plan;
    world.plan(plan);
    check(&world, "");
    let mut replaced = Vec::new();
    for _ in 0..20 {
        let stops = decide(&world.state).plan.stops;
        assert!(stops.len() <= 1, "one by one: {stops:?}");
        replaced.extend(stops.iter().map(|stop| world.alloc(stop.alloc).index));
        world.settle_healthy();
    }
    let indexes: Vec<u32> = world.live("web").iter().map(|id| world.alloc(*id).index).collect();
    assert_eq!(indexes.iter().collect::<std::collections::BTreeSet<_>>(), [0, 1].iter().collect());
    assert!(!replaced.contains(&2), "{replaced:?}");
}

#[test]
fn a_lost_node_is_replaced_at_once() {
    let mut world = World::new(2);
    world.put(job("web", 1));
    world.settle_healthy();
    let node = world.alloc(world.live("web")[0]).node;
    world.lose(node);
    check(
        &world,
        "place web.web.0 on n1: best of 1 that fit; 0 of the group there before; then 2% cpu, 0% memory in use",
    );
}
