//! A node is drained: the pace, what goes last, the deadline, what stays when it is cancelled.

use std::time::Duration;

use proto::ids::AllocId;
use proto::model::{
    AllocState, AllocStatus, Desired, Eligibility, EventKind, Group, Job, JobType, Migrate, NodeIdentity,
    Resources, StopReason,
};

use crate::core::state::{DrainStep, Kind, Outcome};
use crate::core::testing::{INCARNATION, World, batch, job, node_identity, system};

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));
const SECOND: Duration = Duration::from_secs(1);

/// A world in which that job runs, healthy.
fn running(nodes: u64, job: Job) -> World {
    let mut world = World::new(nodes);
    world.put(job);
    for _ in 0..4 {
        world.settle_healthy();
    }
    world
}

fn with(mut job: Job, change: impl Fn(&mut Group)) -> Job {
    job.groups.values_mut().for_each(change);
    job
}

fn paced(name: &str, count: u32, max_parallel: u32, healthy: u32, deadline: u32) -> Job {
    with(job(name, count), |group| {
        group.migrate =
            Migrate { max_parallel, min_healthy_time: healthy * SECOND, healthy_deadline: deadline * SECOND };
    })
}

fn large(job: Job) -> Job {
    with(job, |group| {
        for task in group.tasks.values_mut() {
            task.resources = Resources { cpu_millis: 3000, memory_bytes: 1 << 20 };
        }
    })
}

fn healthy(world: &World, name: &str) -> usize {
    world.live(name).into_iter().filter(|id| world.alloc(*id).healthy).count()
}

fn is_drained(world: &World, node: u64) -> bool {
    let record = world.state.nodes.get(&world.node(node)).expect("node");
    record.drain.as_ref().is_some_and(|drain| drain.complete.is_some())
}

fn told(world: &World, kind: EventKind) -> usize {
    world.state.events.all().filter(|event| event.kind == kind).count()
}

/// Goes on until the node is drained; after each step that many are healthy at least, and at most one more than wanted is there.
fn drained(world: &mut World, node: u64, name: &str, least: usize, most: usize) -> usize {
    for round in 0..100 {
        if is_drained(world, node) {
            return round;
        }
        world.settle_healthy();
        world.check();
        assert!(healthy(world, name) >= least, "{} healthy in round {round}", healthy(world, name));
        let there = world.live(name).len();
        assert!(there <= most, "{there} in round {round}");
    }
    panic!("not drained: {:?}", world.on(node));
}

#[test]
fn what_is_drained_moves_one_by_one_and_as_many_as_wanted_are_healthy_all_the_time() {
    let mut world = running(3, job("web", 6));
    assert_eq!(world.on(0).len(), 2);
    world.drain(0, HOUR);
    drained(&mut world, 0, "web", 6, 7);
    assert_eq!((world.on(0).len(), world.live("web").len()), (0, 6));
    let node = world.state.nodes.get(&world.node(0)).expect("node");
    assert_eq!(node.eligibility, Eligibility::Cordoned, "until somebody says otherwise");
    assert_eq!((told(&world, EventKind::NodeDrainBegun), told(&world, EventKind::NodeDrained)), (1, 1));
    let ended = world.state.allocs.iter().filter(|(_, alloc)| alloc.has_ended());
    let reasons: Vec<Desired> = ended.map(|(_, alloc)| alloc.desired).collect();
    assert_eq!(reasons, [Desired::Stop(StopReason::Drained); 2]);
}

#[test]
fn no_more_move_at_once_than_the_pace_allows_and_the_next_only_when_a_replacement_has_run_long_enough() {
    let mut world = running(3, paced("web", 9, 2, 10, 300));
    world.drain(0, HOUR);
    world.settle();
    assert_eq!(world.live("web").len(), 11, "two more than wanted");
    world.settle_healthy();
    world.settle_healthy();
    assert_eq!(
        world.on(0).iter().filter(|(_, wanted)| *wanted).count(),
        3,
        "healthy, but not for long enough"
    );
    drained(&mut world, 0, "web", 9, 11);
}

#[test]
fn a_replacement_that_does_not_get_healthy_stops_nothing_and_another_is_tried_elsewhere() {
    let mut world = running(3, paced("web", 1, 1, 5, 30));
    let old = world.live("web")[0];
    let home = world.index_of(world.alloc(old).node);
    world.drain(home, HOUR);
    world.settle();
    let first = world.live("web")[1];
    assert_eq!(world.alloc(first).previous, Some(old));
    world.pass(31_000);
    world.settle();
    assert_eq!(world.alloc(first).desired, Desired::Stop(StopReason::NotMoved));
    assert!(world.alloc(old).is_active(), "what it was to replace stays");
    let status = AllocStatus { id: first, seq: 1, state: AllocState::Stopped, tasks: vec![] };
    world.report_on(world.alloc(first).node, status);
    world.settle();
    assert_eq!(world.live("web"), [old], "the next try is not at once");
    world.pass(10_000);
    world.settle();
    let second = world.live("web")[1];
    assert_ne!(world.alloc(second).node, world.alloc(first).node, "where it did not get healthy");
    drained(&mut world, home, "web", 1, 2);
    assert_eq!(world.live("web"), [second]);
}

#[test]
fn a_replacement_that_is_lost_or_fails_leaves_the_old_one_in_its_place() {
    let mut world = running(3, paced("web", 1, 1, 5, 300));
    let old = world.live("web")[0];
    world.drain(world.index_of(world.alloc(old).node), HOUR);
    world.settle();
    let first = world.live("web")[1];
    world.lose(world.alloc(first).node);
    world.check();
    let record = world.state.jobs.iter().next().expect("job").1;
    assert_eq!(record.filler_of("web", 0), Some(old));
    world.settle();
    let second = *world.live("web").last().expect("another");
    let failed = AllocStatus { id: second, seq: 1, state: AllocState::Failed, tasks: vec![] };
    world.report_on(world.alloc(second).node, failed);
    world.check();
    assert!(world.alloc(old).is_active());
    let record = world.state.jobs.iter().next().expect("job").1;
    assert_eq!(record.filler_of("web", 0), Some(old));
    assert!(record.group("web").expect("group").failed.contains_key(&0), "the next try waits its time");
}

#[test]
fn what_has_no_other_place_stays_says_why_and_is_ended_at_the_deadline() {
    let mut world = running(2, large(job("web", 2)));
    world.drain(0, Some(60 * SECOND));
    world.settle_healthy();
    let record = world.state.jobs.iter().next().expect("job").1;
    let wait = record.group("web").and_then(|group| group.wait.clone()).expect("it waits");
    assert!(wait.why.starts_with("its node is drained, and no other can take it: "), "{}", wait.why);
    assert_eq!(healthy(&world, "web"), 2, "and runs");
    world.pass(60_000);
    world.settle_healthy();
    assert_eq!(told(&world, EventKind::NodeDrainDeadline), 1);
    assert_eq!(world.on(0).iter().map(|(_, wanted)| *wanted).collect::<Vec<_>>(), [false]);
    world.settle_healthy();
    world.settle_healthy();
    assert!(is_drained(&world, 0));
    assert_eq!(world.live("web").len(), 1, "the other waits for room");
    world.check();
}

#[test]
fn batch_work_may_finish_and_what_runs_on_every_node_goes_last() {
    let mut world = World::new(2);
    world.put(batch("sum", 2));
    world.put(system("log", JobType::System));
    for _ in 0..3 {
        world.settle_healthy();
    }
    world.drain(0, HOUR);
    for _ in 0..5 {
        world.settle_healthy();
    }
    let all_wanted = |world: &World| world.on(0).iter().all(|(_, wanted)| *wanted);
    assert_eq!((world.on(0).len(), all_wanted(&world)), (2, true), "both go on");
    let sum = world.live("sum").into_iter().find(|id| world.alloc(*id).node == world.node(0)).expect("one");
    let done = AllocStatus { id: sum, seq: 1_000_000, state: AllocState::Complete, tasks: vec![] };
    world.report(0, done);
    world.settle_healthy();
    assert_eq!(world.on(0), [("log.log.0".to_owned(), false)], "now that nothing else is left");
    world.settle_healthy();
    assert!(is_drained(&world, 0));
    assert_eq!(world.live("log").len(), 1);
    world.apply(Kind::NodeEligibility { node: world.node(0), eligibility: Eligibility::Eligible });
    world.settle_healthy();
    assert_eq!(world.on(0).len(), 1, "uncordoned it has what runs on every node");
    world.check();
}

#[test]
fn batch_work_is_ended_at_the_deadline_and_begun_anew_elsewhere() {
    let mut world = running(2, batch("sum", 2));
    world.drain(0, Some(10 * SECOND));
    world.pass(10_000);
    for _ in 0..3 {
        world.settle_healthy();
    }
    assert!(is_drained(&world, 0));
    assert_eq!((world.on(0).len(), world.on(1).len()), (0, 2));
}

#[test]
fn without_a_deadline_it_waits_and_with_none_left_all_is_told_to_end_at_once() {
    let mut world = running(2, batch("sum", 2));
    world.drain(0, None);
    world.pass(1_000_000_000);
    world.settle_healthy();
    assert!(world.on(0)[0].1, "it may take as long as it needs");
    assert!(matches!(world.drain(0, Some(Duration::ZERO)), Outcome::Written { changed: true, .. }));
    world.settle_healthy();
    assert!(!world.on(0)[0].1);
    world.settle_healthy();
    assert!(is_drained(&world, 0));
}

#[test]
fn a_cancelled_drain_leaves_what_has_not_moved_and_the_node_as_it_was() {
    for was_cordoned in [false, true] {
        let mut world = running(3, paced("web", 6, 1, 5, 300));
        if was_cordoned {
            world.apply(Kind::NodeEligibility { node: world.node(0), eligibility: Eligibility::Cordoned });
        }
        world.drain(0, HOUR);
        world.settle();
        assert_eq!(world.live("web").len(), 7);
        world.cancel_drain(0);
        world.settle();
        let doomed: Vec<AllocId> =
            world.live("web").into_iter().filter(|id| !world.alloc(*id).is_active()).collect();
        assert_eq!(doomed.len(), 1, "the replacement that is not healthy is not needed");
        assert_ne!(world.alloc(doomed[0]).node, world.node(0));
        for _ in 0..3 {
            world.settle_healthy();
        }
        assert_eq!((world.on(0).len(), world.live("web").len()), (2, 6));
        let node = world.state.nodes.get(&world.node(0)).expect("node");
        assert_eq!((node.drain.is_none(), node.takes_work()), (true, !was_cordoned));
        world.check();
    }
}

#[test]
fn a_second_drain_changes_the_deadline_and_the_same_again_changes_nothing() {
    let mut world = running(2, batch("sum", 2));
    let changed = |outcome: Outcome| matches!(outcome, Outcome::Written { changed: true, .. });
    assert!(changed(world.drain(0, HOUR)));
    assert!(!changed(world.drain(0, HOUR)));
    assert!(changed(world.drain(0, None)));
    let drain = world.state.nodes.get(&world.node(0)).and_then(|node| node.drain.clone()).expect("a drain");
    assert_eq!((drain.deadline, drain.was_cordoned), (None, false));
    assert!(!changed(world.apply(Kind::DrainNode { node: world.node(1), step: DrainStep::Cancel }).outcome));
    let refused =
        world.apply(Kind::NodeEligibility { node: world.node(0), eligibility: Eligibility::Eligible });
    assert!(matches!(refused.outcome, Outcome::Refused(_)), "it is drained: that has to be cancelled");
}

#[test]
fn a_lost_node_is_not_drained_until_it_is_back_and_empty() {
    let mut world = running(3, job("web", 3));
    world.drain(0, HOUR);
    world.lose(world.node(0));
    for _ in 0..5 {
        world.settle_healthy();
    }
    assert!(!is_drained(&world, 0), "nobody knows what it still runs");
    world.register(0, vec![]);
    world.settle_healthy();
    assert!(is_drained(&world, 0));
    assert_eq!(world.live("web").len(), 3);
}

#[test]
fn fewer_are_wanted_while_some_move_and_the_right_ones_go() {
    let mut world = running(3, paced("web", 6, 2, 5, 300));
    world.drain(0, HOUR);
    world.settle();
    world.put(paced("web", 2, 2, 5, 300));
    for _ in 0..20 {
        world.settle_healthy();
        world.check();
    }
    assert!(is_drained(&world, 0));
    assert_eq!(healthy(&world, "web"), 2);
}

#[test]
fn what_is_not_wanted_any_more_while_it_moves_ends_on_both_nodes_by_one_decision() {
    let mut world = running(2, paced("web", 1, 1, 5, 300));
    let home = world.index_of(world.alloc(world.live("web")[0]).node);
    world.drain(home, HOUR);
    world.settle();
    let both = world.live("web");
    assert_eq!(both.len(), 2, "it moves");
    world.put(paced("web", 0, 1, 5, 300));
    world.settle();
    let told: Vec<Desired> = both.iter().map(|id| world.alloc(*id).desired).collect();
    assert_eq!(told, [Desired::Stop(StopReason::ScaledDown); 2]);
}

#[test]
fn nothing_moves_while_more_than_wanted_are_still_ending() {
    let mut world = running(2, job("web", 4));
    world.put(job("web", 1));
    world.settle();
    let stays = world.live("web").into_iter().find(|id| world.alloc(*id).is_active()).expect("one");
    world.drain(world.index_of(world.alloc(stays).node), HOUR);
    assert_eq!(world.decide().items, [], "it would be refused");
    world.settle_healthy();
    world.settle_healthy();
    assert_eq!(world.live("web").len(), 2, "now it moves");
}

#[test]
fn new_work_goes_on_while_a_node_is_drained() {
    let mut world = running(3, paced("web", 6, 1, 5, 300));
    world.drain(0, HOUR);
    world.settle();
    world.put(with(paced("web", 6, 1, 5, 300), |group| {
        let tasks = group.tasks.values_mut();
        tasks.for_each(|task| drop(task.env.insert("COLOR".into(), "blue".into())));
    }));
    for _ in 0..60 {
        world.settle_healthy();
        world.check();
        assert!(healthy(&world, "web") >= 5, "a rolling change takes one at a time");
    }
    assert!(is_drained(&world, 0));
    let version = world.live("web").into_iter().map(|id| world.alloc(id).version.0).min();
    assert_eq!((healthy(&world, "web"), version), (6, Some(2)));
}

#[test]
fn two_nodes_are_drained_together_and_what_moved_to_the_second_moves_again() {
    let mut world = running(4, paced("web", 8, 1, 2, 300));
    world.drain(0, HOUR);
    world.settle();
    world.drain(1, HOUR);
    drained(&mut world, 0, "web", 8, 9);
    drained(&mut world, 1, "web", 8, 9);
    assert_eq!(world.on(2).len() + world.on(3).len(), 8);
}

/// The agent of that node registers, with what it has, and says whether it is about to end.
fn registers(world: &mut World, number: u64, leaving: Option<Duration>) {
    let node = world.node(number);
    let live = world.live("web").into_iter().filter(|id| world.alloc(*id).node == node);
    let running = |id| AllocStatus { seq: 0, ..super::running(id) };
    let held = live.map(|id| (INCARNATION, running(id), Default::default())).collect();
    let identity = NodeIdentity { leaving, ..node_identity(number) };
    world.apply(Kind::RegisterNode { identity, held, seen: None });
}

#[test]
fn an_agent_that_ends_has_its_node_drained_and_takes_work_again_when_it_is_back() {
    let mut world = running(2, job("web", 2));
    let drain = |world: &World| world.state.nodes.get(&world.node(0)).expect("known").drain.clone();
    let within = Duration::from_secs(600);
    registers(&mut world, 0, Some(within));
    let begun = drain(&world).expect("it is drained");
    assert_eq!((begun.deadline, begun.until_return), (Some(world.state.now.plus(within)), true));
    world.pass(1_000);
    registers(&mut world, 0, Some(within));
    assert_eq!(
        drain(&world),
        Some(begun),
        "in another session, as after a change of leader, it is the same drain"
    );
    for _ in 0..8 {
        world.settle_healthy();
    }
    assert_eq!(world.on(0), []);
    assert!(drain(&world).expect("kept").complete.is_some());
    registers(&mut world, 0, None);
    assert_eq!(drain(&world), None);
    assert!(world.state.nodes.get(&world.node(0)).expect("known").takes_work());
    world.check();
}

#[test]
fn what_a_person_drains_stays_drained_whatever_its_agent_does() {
    let mut world = running(2, job("web", 2));
    world.drain(0, None);
    let drain = |world: &World| world.state.nodes.get(&world.node(0)).expect("known").drain.clone();
    let by_person = drain(&world);
    registers(&mut world, 0, Some(Duration::from_secs(1)));
    assert_eq!(drain(&world), by_person);
    registers(&mut world, 0, None);
    assert_eq!(drain(&world), by_person);
}
