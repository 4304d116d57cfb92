//! Where many nodes are lost at once nothing of them is replaced at once; what comes back goes on as it was.

use proto::ids::NodeId;

use super::decide;
use crate::core::rules::{Braking, Rule, brake::mass_loss};
use crate::core::scheduler::Decision;
use crate::core::state::{Kind, Outcome};
use crate::core::testing::{INCARNATION, World, job, node_identity};

/// Ten nodes, two of one job on each.
fn world() -> World {
    let mut world = World::new(10);
    world.put(job("web", 20));
    for _ in 0..4 {
        world.settle_healthy();
    }
    assert_eq!(world.live("web").len(), 20);
    world
}

/// So many nodes fall silent together.
fn lose_together(world: &mut World, nodes: u64) {
    let silent: Vec<NodeId> = (0..nodes).map(|number| world.node(number)).collect();
    if let Some(held) = mass_loss(&world.state, &silent, world.state.now) {
        world.apply(Kind::HoldLost(held));
    }
    silent.into_iter().for_each(|node| world.lose(node));
    world.check();
}

fn placed(decision: &Decision) -> usize {
    decision.placed.len()
}

/// What the leader's rule wants at this time.
fn is_let_go(world: &World) -> bool {
    Braking.decide(&world.state, world.state.now).proposals == [Kind::ReleaseLost]
}

#[test]
fn a_third_of_the_nodes_is_replaced_at_once_and_more_are_not() {
    let mut world = world();
    lose_together(&mut world, 3);
    assert!(world.state.brake.is_none());
    assert_eq!(placed(&decide(&world.state)), 6);

    let mut world = self::world();
    lose_together(&mut world, 4);
    assert_eq!(world.state.brake.as_ref().expect("pulled").of, 10);
    let decision = decide(&world.state);
    assert_eq!(placed(&decision), 0);
    let wait = &decision.plan.waits[0];
    assert_eq!(wait.count, 8);
    assert!(
        wait.why.contains("lost together with 3 others") && wait.why.contains("brake release"),
        "{}",
        wait.why
    );
    world.plan(decision.plan);
    assert!(decide(&world.state).plan.is_empty(), "deciding again on the same facts");
}

#[test]
fn after_the_pause_it_goes_on_node_by_node_until_nothing_is_held() {
    let mut world = world();
    lose_together(&mut world, 4);
    let pause = 60_000;
    let key = world.state.jobs.iter().next().expect("it is there").0.clone();
    assert_eq!(decide(&world.state).wake_at[&key], world.state.now.plus(world.state.settings.brake_pause));
    world.pass(pause - 1);
    assert_eq!(placed(&decide(&world.state)), 0);
    for (passed, more) in [(1, 2), (10_000, 2), (10_000, 2), (9_999, 0)] {
        world.pass(passed);
        let before = world.live("web").len();
        let decision = decide(&world.state);
        assert_eq!(placed(&decision), more, "{before}");
        world.plan(decision.plan);
        assert!(!is_let_go(&world));
    }
    world.pass(1);
    assert!(is_let_go(&world));
    world.apply(Kind::ReleaseLost);
    assert_eq!(placed(&decide(&world.state)), 2);
}

#[test]
fn a_person_releases_it_at_once_and_a_second_time_changes_nothing() {
    let mut world = world();
    lose_together(&mut world, 4);
    let changed = |outcome| matches!(outcome, Outcome::Written { changed: true, .. });
    let applied = world.apply(Kind::ReleaseLost);
    assert!(changed(applied.outcome));
    assert_eq!(applied.changes.jobs.len(), 1, "who waited is looked at");
    assert_eq!(placed(&decide(&world.state)), 8);
    assert!(!changed(world.apply(Kind::ReleaseLost).outcome));
}

#[test]
fn what_comes_back_meanwhile_runs_on_and_nothing_is_held_any_more() {
    let mut world = world();
    lose_together(&mut world, 4);
    let before = world.live("web");
    for number in 0..4 {
        let node = world.node(number);
        let held = before
            .iter()
            .filter(|id| world.alloc(**id).node == node)
            .map(|id| (INCARNATION, super::running(*id)))
            .collect();
        world.register(number, held);
    }
    world.check();
    assert_eq!(world.live("web"), before);
    assert!(before.iter().all(|id| !world.alloc(*id).lost));
    assert!(decide(&world.state).plan.is_empty());
    assert!(!is_let_go(&world), "the loss that it was pulled for might still be on its way into the state");
    world.pass(8_000);
    assert!(is_let_go(&world));
}

#[test]
fn one_whole_failure_domain_is_an_ordinary_loss() {
    let mut world = world();
    for number in 0..4 {
        let identity =
            proto::model::NodeIdentity { failure_domain: Some("rack1".into()), ..node_identity(number) };
        let held = world.live("web").into_iter().filter(|id| world.alloc(*id).node == world.node(number));
        let held = held.map(|id| (INCARNATION, super::running(id), Default::default())).collect();
        world.apply(Kind::RegisterNode { identity, held, seen: None });
    }
    lose_together(&mut world, 4);
    assert!(world.state.brake.is_none());
    assert_eq!(placed(&decide(&world.state)), 8);
}

#[test]
fn two_nodes_are_never_many_and_those_lost_a_moment_ago_count() {
    let mut world = World::new(4);
    let silent = |world: &World, nodes: &[u64]| -> Vec<NodeId> {
        nodes.iter().map(|number| world.node(*number)).collect()
    };
    assert_eq!(mass_loss(&world.state, &silent(&world, &[0, 1]), world.state.now), None);
    world.lose(world.node(0));
    world.lose(world.node(1));
    world.pass(4_000);
    let all = silent(&world, &[0, 1, 2]);
    assert_eq!(mass_loss(&world.state, &all[2..], world.state.now), Some(all.clone()));
    world.pass(1);
    assert_eq!(mass_loss(&world.state, &all[2..], world.state.now), None, "more than one lease ago");
}

#[test]
fn while_it_holds_whatever_is_lost_is_held() {
    let mut world = world();
    lose_together(&mut world, 4);
    world.pass(20_000);
    let silent = [world.node(7)];
    let held = mass_loss(&world.state, &silent, world.state.now).expect("held");
    world.apply(Kind::HoldLost(held));
    world.lose(world.node(7));
    assert_eq!(placed(&decide(&world.state)), 0);
    assert_eq!(world.state.brake.as_ref().expect("pulled").nodes.len(), 5);
    let before = world.state.brake.clone();
    world.apply(Kind::HoldLost(silent.to_vec()));
    assert_eq!(world.state.brake, before, "twice is once");
}
