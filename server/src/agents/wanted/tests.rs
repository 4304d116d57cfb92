use proto::ids::JobKey;
use proto::model::{AllocState, StopReason};

use super::*;
use crate::core::state::{Gc, Kind};
use crate::core::testing::{INCARNATION, World, job, node_identity};

/// A world of one node with two running allocations of one job, numbered 1 and 2.
fn world() -> World {
    let mut world = World::new(1);
    world.put(job("web", 2));
    world.settle();
    world
}

fn node() -> NodeId {
    node_identity(0).id
}

fn session(held: &[(Incarnation, u64, AllocState)]) -> Wanted {
    let held: Vec<(Incarnation, AllocStatus)> = held
        .iter()
        .map(|(of, id, state)| (*of, AllocStatus { id: AllocId(*id), seq: 1, state: *state, tasks: vec![] }))
        .collect();
    Wanted::new(node(), Some(INCARNATION), held.iter().map(|(of, status)| (*of, status)))
}

fn orders(delta: &Delta) -> Vec<(u64, v1::Order)> {
    delta.assignments.iter().map(|one| (one.alloc_id, one.order())).collect()
}

fn report(world: &mut World, id: u64, state: AllocState) {
    let generation = world.state.nodes.get(&node()).unwrap().generation;
    let statuses = vec![AllocStatus { id: AllocId(id), seq: 9, state, tasks: vec![] }];
    world.apply(Kind::AllocStatus { node: node(), generation, statuses });
}

#[test]
fn what_was_told_is_not_told_again() {
    let world = world();
    let mut wanted = session(&[]);
    assert_eq!(orders(&wanted.diff(&world.state)), [(1, v1::Order::Run), (2, v1::Order::Run)]);
    assert!(wanted.diff(&world.state).is_empty());
    wanted.start_over();
    assert_eq!(wanted.diff(&world.state).assignments.len(), 2);
}

#[test]
fn an_allocation_that_takes_over_a_newer_version_is_told_again() {
    let mut world = world();
    let mut wanted = session(&[]);
    wanted.diff(&world.state);
    let mut changed = job("web", 2);
    changed.groups.get_mut("web").unwrap().tasks.get_mut("web").unwrap().logs.max_files = 3;
    world.put(changed);
    world.settle();
    let delta = wanted.diff(&world.state);
    let versions: Vec<u64> =
        delta.assignments.iter().filter_map(|one| Some(one.spec.as_ref()?.version)).collect();
    assert_eq!((orders(&delta), versions), (vec![(1, v1::Order::Run), (2, v1::Order::Run)], vec![2, 2]));
}

#[test]
fn an_order_to_end_is_told_once_and_the_end_is_released_until_it_is_heard() {
    let mut world = world();
    let mut wanted = session(&[]);
    wanted.diff(&world.state);
    world.apply(Kind::StopJob { key: JobKey::new("default", "web"), purge: false });
    world.settle();
    assert_eq!(orders(&wanted.diff(&world.state)), [(1, v1::Order::Stop), (2, v1::Order::Stop)]);
    wanted.reported(AllocId(1), true);
    assert!(wanted.diff(&world.state).is_empty(), "the end is not in the state yet");
    report(&mut world, 1, AllocState::Stopped);
    assert_eq!(wanted.diff(&world.state).released, [1]);
    assert!(wanted.diff(&world.state).is_empty());
    wanted.reported(AllocId(1), true);
    assert_eq!(wanted.diff(&world.state).released, [1], "said again, released again");
}

#[test]
fn what_servers_have_forgotten_is_stopped_or_released_only_if_it_is_of_this_life() {
    let mut world = world();
    let other = Incarnation(INCARNATION.0 + 1);
    report(&mut world, 1, AllocState::Failed);
    world.apply(Kind::Gc(Gc { allocs: vec![AllocId(1)] }));
    let mut running = session(&[(INCARNATION, 1, AllocState::Running)]);
    assert_eq!(orders(&running.diff(&world.state))[1], (1, v1::Order::Stop));
    let mut ended = session(&[(INCARNATION, 1, AllocState::Failed)]);
    assert_eq!(ended.diff(&world.state).released, [1]);
    let next = world.state.next_id;
    let mut kept = session(&[(other, 1, AllocState::Running), (INCARNATION, next, AllocState::Running)]);
    let delta = kept.diff(&world.state);
    assert_eq!((orders(&delta), delta.released), (vec![(2, v1::Order::Run)], vec![]));
}

#[test]
fn what_the_state_takes_for_ended_and_still_runs_is_stopped() {
    let mut world = world();
    report(&mut world, 1, AllocState::Failed);
    let mut wanted = session(&[(INCARNATION, 1, AllocState::Running)]);
    assert!(orders(&wanted.diff(&world.state)).contains(&(1, v1::Order::Stop)));
    wanted.reported(AllocId(1), true);
    assert_eq!(wanted.diff(&world.state).released, [1]);
}

#[test]
fn what_was_lost_with_the_node_is_not_ordered_to_run() {
    let mut world = world();
    let generation = world.state.nodes.get(&node()).unwrap().generation;
    let down = crate::core::state::LivenessChange {
        node: node(),
        generation,
        liveness: proto::model::Liveness::Down,
    };
    world.apply(Kind::NodeLiveness(vec![down]));
    assert!(session(&[]).diff(&world.state).is_empty());
    let lost = world.state.allocs.get(AllocId(1)).unwrap();
    assert!(lost.lost && lost.desired != Desired::Stop(StopReason::NodeLost));
}
