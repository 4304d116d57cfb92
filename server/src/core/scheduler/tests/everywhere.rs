//! What runs once per node: on every node that is right for it, whatever comes, goes or is changed.

use std::collections::BTreeMap;

use proto::ids::Generation;
use proto::model::{Condition, Dependency, Desired, JobType, Liveness, StopReason};

use super::*;
use crate::core::scheduler::{Wanted, wanted};
use crate::core::state::{DrainStep, LivenessChange, read_snapshot, write_snapshot};
use crate::core::testing::system;

fn key() -> JobKey {
    JobKey::new("default", "web")
}

fn daemon() -> Job {
    system("web", JobType::System)
}

fn next_release(mut job: Job) -> Job {
    let tasks = job.groups.values_mut().flat_map(|group| group.tasks.values_mut());
    tasks.for_each(|task| drop(task.env.insert("RELEASE".into(), "2".into())));
    job
}

fn only_in(rack: &str, mut job: Job) -> Job {
    let rule = format!("meta.rack == '{rack}'");
    job.groups.values_mut().for_each(|group| group.placement.constraints = vec![rule.clone()]);
    job
}

fn node_in(world: &mut World, number: u64, rack: &str) {
    let mut identity = node_identity(number);
    identity.attributes.insert("meta.rack".into(), rack.to_owned());
    world.apply(Kind::RegisterNode { identity, held: vec![], seen: None });
}

/// The slot of each node that has one of `web` which is wanted, by the node's number.
fn slots(world: &World) -> BTreeMap<u64, u32> {
    let live = world.live("web").into_iter().map(|id| world.alloc(id));
    let wanted = live.filter(|alloc| alloc.is_active());
    let slots: Vec<(u64, u32)> = wanted.map(|alloc| (world.index_of(alloc.node), alloc.index)).collect();
    let by_node: BTreeMap<u64, u32> = slots.iter().copied().collect();
    assert_eq!(by_node.len(), slots.len(), "two on one node: {slots:?}");
    by_node
}

fn wanted_of(world: &World) -> Wanted {
    wanted(&world.state, world.state.jobs.get(&key()).expect("the job"), "web")
}

fn wait(world: &World) -> Option<(u32, String)> {
    let wait = world.state.jobs.get(&key())?.group("web")?.wait.as_ref()?;
    Some((wait.count, wait.why.clone()))
}

/// The one on that node ends.
fn ends(world: &mut World, node: u64, state: AllocState) {
    let id = world.live("web").into_iter().find(|id| world.alloc(*id).node == world.node(node)).expect("one");
    let task = world.alloc(id).tasks.first().cloned();
    let status = AllocStatus { id, seq: 99, state, tasks: task.into_iter().collect() };
    world.report(node, status);
}

#[test]
fn one_runs_on_every_node_and_a_new_node_gets_one() {
    let mut world = World::new(3);
    world.put(daemon());
    world.settle_healthy();
    assert_eq!(slots(&world), [(0, 0), (1, 1), (2, 2)].into());
    let applied = world.apply(Kind::RegisterNode { identity: node_identity(3), held: vec![], seen: None });
    assert!(applied.changes.jobs.contains(&key()), "a new node concerns it");
    world.settle_healthy();
    assert_eq!(slots(&world), [(0, 0), (1, 1), (2, 2), (3, 3)].into());
    assert_eq!(wanted_of(&world), Wanted { slots: 4, done: 0 });
    world.check();
}

#[test]
fn a_node_that_does_not_take_work_gets_none_and_keeps_what_it_has() {
    let mut world = World::new(2);
    let cordon = |world: &mut World, node, eligibility| {
        world.apply(Kind::NodeEligibility { node: world.node(node), eligibility })
    };
    cordon(&mut world, 1, Eligibility::Cordoned);
    world.put(daemon());
    world.settle_healthy();
    assert_eq!((slots(&world), wanted_of(&world).slots), ([(0, 0)].into(), 1));
    cordon(&mut world, 0, Eligibility::Cordoned);
    world.settle_healthy();
    assert_eq!((slots(&world), wanted_of(&world).slots), ([(0, 0)].into(), 1));
    let applied = cordon(&mut world, 1, Eligibility::Eligible);
    assert!(applied.changes.jobs.contains(&key()), "it may run there now");
    world.settle_healthy();
    assert_eq!(slots(&world), [(0, 0), (1, 1)].into());
}

#[test]
fn a_lost_nodes_work_goes_nowhere_else_and_is_found_again_in_its_slot() {
    let mut world = World::new(2);
    world.put(daemon());
    world.settle_healthy();
    let id = world.live("web").into_iter().find(|id| world.alloc(*id).node == world.node(0)).expect("one");
    world.lose(world.node(0));
    world.settle_healthy();
    assert_eq!((slots(&world), wanted_of(&world).slots), ([(1, 1)].into(), 1));
    node_in(&mut world, 7, "r1");
    world.settle_healthy();
    assert_eq!(slots(&world), [(1, 1), (7, 2)].into(), "slot 0 is that of the lost node");
    let status = AllocStatus { id, seq: 5000, state: AllocState::Running, tasks: vec![] };
    world.register(0, vec![(crate::core::testing::INCARNATION, status)]);
    world.settle_healthy();
    assert_eq!(slots(&world), [(0, 0), (1, 1), (7, 2)].into());
    assert!(world.live("web").contains(&id), "the same one");
    world.check();
}

#[test]
fn what_waits_on_every_node_waits_on_fewer_when_one_is_lost_cordoned_or_drained() {
    let mut world = World::new(4);
    let other = Dependency { job: Some("db".into()), group: None, condition: Condition::Healthy };
    let mut job = daemon();
    job.groups.values_mut().for_each(|group| group.depends_on = vec![other.clone()]);
    world.put(job);
    world.settle_healthy();
    assert_eq!(wait(&world).map(|(count, _)| count), Some(4));
    let of = |world: &World, number| world.node(number);
    let steps = [
        Kind::NodeLiveness(vec![LivenessChange {
            node: of(&world, 0),
            generation: Generation(1),
            liveness: Liveness::Down,
        }]),
        Kind::NodeEligibility { node: of(&world, 1), eligibility: Eligibility::Cordoned },
        Kind::DrainNode {
            node: of(&world, 2),
            step: DrainStep::Begin { deadline: None, message: String::new() },
        },
    ];
    for (step, left) in steps.into_iter().zip([3, 2, 1]) {
        let applied = world.apply(step);
        assert!(applied.changes.jobs.contains(&key()), "nothing of it is there, and yet it is concerned");
        world.settle_healthy();
        assert_eq!(wait(&world).map(|(count, _)| count), Some(left));
    }
    world.check();
}

#[test]
fn a_forgotten_nodes_slot_is_free_again() {
    let mut world = World::new(2);
    world.put(daemon());
    world.settle_healthy();
    world.lose(world.node(0));
    world.apply(Kind::PurgeNode { node: world.node(0) });
    node_in(&mut world, 5, "r1");
    world.settle_healthy();
    assert_eq!(slots(&world), [(1, 1), (5, 0)].into());
}

#[test]
fn a_node_that_is_not_right_any_more_loses_it_and_says_why() {
    let mut world = World::new(0);
    (0..3).for_each(|number| node_in(&mut world, number, "r1"));
    world.put(only_in("r1", daemon()));
    world.settle_healthy();
    assert_eq!(slots(&world).len(), 3);
    let id = world.live("web").into_iter().find(|id| world.alloc(*id).node == world.node(2)).expect("one");
    let held = AllocStatus { id, seq: 5000, state: AllocState::Running, tasks: vec![] };
    let mut identity = node_identity(2);
    identity.attributes.insert("meta.rack".into(), "r2".to_owned());
    let held = vec![(crate::core::testing::INCARNATION, held, Resources::default())];
    world.apply(Kind::RegisterNode { identity, held, seen: None });
    world.settle();
    assert_eq!(world.alloc(id).desired, Desired::Stop(StopReason::NodeUnsuitable));
    world.settle_healthy();
    assert_eq!((slots(&world).len(), wanted_of(&world).slots), (2, 2));
}

#[test]
fn where_there_is_no_room_it_waits_and_says_on_how_many_nodes() {
    let mut world = World::new(2);
    world.put(taking(job("big", 1), 4000, 64 << 20));
    world.settle_healthy();
    world.put(daemon());
    world.settle_healthy();
    assert_eq!(slots(&world).len(), 1);
    assert_eq!(wait(&world), Some((1, "1 of 2 nodes lacks cpu (100m asked)".to_owned())));
    world.apply(Kind::StopJob { key: JobKey::new("default", "big"), purge: false });
    world.settle_healthy();
    world.settle_healthy();
    assert_eq!((slots(&world).len(), wait(&world)), (2, None));
}

#[test]
fn without_any_node_that_is_right_it_says_so() {
    let mut world = World::new(2);
    world.put(only_in("r9", daemon()));
    world.settle();
    let why = "2 of 2 nodes are ruled out by `meta.rack == 'r9'`".to_owned();
    assert_eq!((wait(&world), wanted_of(&world).slots), (Some((0, why)), 0));
    node_in(&mut world, 5, "r9");
    world.settle();
    assert_eq!((wait(&world), slots(&world)), (None, [(5, 0)].into()));
}

#[test]
fn a_new_version_goes_from_node_to_node() {
    let mut world = World::new(4);
    world.put(daemon());
    world.settle_healthy();
    world.put(next_release(daemon()));
    for replaced in 0..4 {
        world.settle();
        let active = slots(&world).len();
        assert!(active >= 3, "{active} of 4 run while {replaced} are replaced");
        world.settle_healthy();
        world.settle_healthy();
    }
    world.settle_healthy();
    let versions: Vec<u64> = world.live("web").iter().map(|id| world.alloc(*id).version.0).collect();
    assert_eq!(versions, [2; 4]);
    assert_eq!(slots(&world), [(0, 0), (1, 1), (2, 2), (3, 3)].into(), "every node keeps its slot");
}

#[test]
fn a_node_without_room_holds_back_no_other_from_the_first_look_on() {
    let mut world = World::new(3);
    world.put(taking(job("big", 1), 4000, 64 << 20));
    world.settle_healthy();
    world.put(daemon());
    world.settle_healthy();
    world.put(next_release(daemon()));
    let now = world.state.now;
    let plan = schedule(&world.state, &[key()], now).plan;
    let stops: Vec<StopReason> = plan.stops.iter().map(|stop| stop.reason).collect();
    assert_eq!(stops, [StopReason::Replaced], "one of two goes, though the third node has no room");
}

#[test]
fn a_rollout_goes_on_only_when_the_new_node_has_its_own() {
    let mut world = World::new(3);
    world.put(daemon());
    world.settle_healthy();
    world.put(next_release(daemon()));
    node_in(&mut world, 5, "r1");
    let plan = schedule(&world.state, &[key()], world.state.now).plan;
    let placed: u32 = plan.items.iter().flat_map(|item| &item.runs).map(|run| run.count).sum();
    assert_eq!((placed, plan.stops.len()), (1, 0), "{plan:?}");
}

#[test]
fn one_that_fails_begins_anew_on_its_node_when_it_is_due() {
    let mut world = World::new(2);
    world.put(daemon());
    world.settle_healthy();
    ends(&mut world, 1, AllocState::Failed);
    let decision = decide(&world.state);
    assert!(
        decision.plan.items.is_empty() && decision.wake_at.contains_key(&key()),
        "it waits: {decision:?}"
    );
    world.pass(600_000);
    world.settle_healthy();
    assert_eq!(slots(&world), [(0, 0), (1, 1)].into());
}

#[test]
fn work_that_ends_is_done_once_on_every_node_and_on_new_ones() {
    let mut world = World::new(2);
    world.put(system("web", JobType::SysBatch));
    world.settle_healthy();
    ends(&mut world, 0, AllocState::Complete);
    world.settle();
    assert_eq!((slots(&world), wanted_of(&world)), ([(1, 1)].into(), Wanted { slots: 2, done: 1 }));
    ends(&mut world, 1, AllocState::Complete);
    world.settle();
    assert!(slots(&world).is_empty() && wanted_of(&world) == Wanted { slots: 2, done: 2 });
    let complete = |world: &World| {
        let key = key();
        let told = world.state.events.of_job(&key);
        told.filter(|event| event.kind == proto::model::EventKind::JobCompleted).count()
    };
    assert_eq!(complete(&world), 1);
    node_in(&mut world, 4, "r1");
    world.settle_healthy();
    assert_eq!((slots(&world), wanted_of(&world)), ([(4, 2)].into(), Wanted { slots: 3, done: 2 }));
    ends(&mut world, 4, AllocState::Complete);
    world.settle();
    assert_eq!((slots(&world).len(), complete(&world)), (0, 2));
}

#[test]
fn a_group_that_had_a_count_becomes_one_per_node() {
    let mut world = World::new(2);
    world.put(job("web", 3));
    world.settle_healthy();
    world.put(daemon());
    for _ in 0..6 {
        world.settle_healthy();
    }
    assert_eq!(slots(&world).len(), 2);
    assert!(world.live("web").iter().all(|id| world.alloc(*id).version.0 == 2));
    world.put(job("web", 3));
    for _ in 0..8 {
        world.settle_healthy();
    }
    let indexes: Vec<u32> = world.live("web").iter().map(|id| world.alloc(*id).index).collect();
    assert_eq!(indexes.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{indexes:?}");
    world.check();
}

#[test]
fn each_group_may_have_a_type_of_its_own() {
    let mut world = World::new(3);
    let mut mixed = job("web", 1);
    let mut agent = daemon().groups.remove("web").expect("a group");
    agent.count = 1;
    mixed.groups.insert("agent".to_owned(), agent);
    world.put(mixed);
    world.settle_healthy();
    let of_group = |name: &str| {
        let live = world.live("web").into_iter().map(|id| world.alloc(id));
        live.filter(|alloc| &*alloc.group == name).count()
    };
    assert_eq!((of_group("web"), of_group("agent")), (1, 3));
}

#[test]
fn where_nodes_stand_in_the_columns_says_nothing_of_the_order() {
    let mut world = World::new(0);
    for number in [2, 0, 1] {
        world.apply(Kind::RegisterNode { identity: node_identity(number), held: vec![], seen: None });
    }
    world.put(daemon());
    world.settle_healthy();
    world.apply(Kind::RestartJob { key: key(), at_once: true });
    world.settle();
    for node in 0..3 {
        ends(&mut world, node, AllocState::Stopped);
    }
    let mut bytes = Vec::new();
    write_snapshot(&world.state, &mut bytes).expect("memory takes everything");
    let restored = read_snapshot(&mut bytes.as_slice()).expect("it is whole");
    assert_eq!(decide(&world.state).placed.len(), 3);
    assert_eq!(decide(&world.state), decide(&restored));
}
