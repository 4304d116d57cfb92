//! Whether everything would fit if nodes were lost.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proto::model::Placement;

use super::*;
use crate::core::scheduler::{Loss, loss};

fn without(world: &World, nodes: &[u64], first: Vec<Job>) -> Loss {
    let lost: BTreeSet<_> = nodes.iter().map(|number| world.node(*number)).collect();
    let revision = world.state.revision;
    let told = loss(&world.state, first, &lost, world.state.now).expect("it is told");
    assert_eq!(world.state.revision, revision, "nothing is written");
    told
}

/// Three nodes, each with one of two that take nearly half of it.
fn busy() -> World {
    let mut world = World::new(3);
    world.put(taking(job("web", 3), 1500, 3 << 30));
    for _ in 0..3 {
        world.settle_healthy();
    }
    world
}

#[test]
fn what_runs_on_it_would_move_to_where_it_really_goes() {
    let mut world = busy();
    let told = without(&world, &[0], vec![]);
    assert_eq!((told.moves(), told.without_place()), (1, 0));
    let group = &told.jobs[&JobKey::new("default", "web")]["web"];
    let (index, from, to) = group.moves[0];
    assert_eq!((world.index_of(from), group.without_place.is_none()), (0, true));
    // It is lost indeed.
    world.lose(world.node(0));
    world.settle();
    let live = world.live("web").into_iter().map(|id| world.alloc(id));
    let there = live.filter(|alloc| alloc.is_active() && alloc.index == index).map(|alloc| alloc.node);
    assert_eq!(there.collect::<Vec<_>>(), [to], "the same kernel decides");
}

#[test]
fn what_has_no_place_is_told_with_its_cause_and_what_would_help() {
    let told = without(&busy(), &[0, 1], vec![]);
    assert_eq!((told.moves(), told.without_place()), (1, 1));
    let group = &told.jobs[&JobKey::new("default", "web")]["web"];
    let short = group.without_place.as_ref().expect("one waits");
    assert!(
        short.why.contains("1 of 3 nodes lacks cpu") && short.why.contains("2 of 3 nodes are down"),
        "{short:?}"
    );
    assert!(short.advice.contains("`minijob scale web 2`"), "{short:?}");
}

#[test]
fn what_waits_already_is_not_blamed_on_the_loss() {
    let mut world = busy();
    world.put(taking(job("big", 1), 4000, 8 << 30));
    world.settle();
    let told = without(&world, &[2], vec![]);
    assert_eq!((told.moves(), told.without_place(), told.jobs.len()), (1, 0, 1));
}

#[test]
fn a_file_that_is_not_submitted_yet_counts_when_it_is_given() {
    let world = busy();
    let more = taking(job("more", 3), 1500, 3 << 30);
    assert_eq!(without(&world, &[0], vec![]).without_place(), 0);
    let told = without(&world, &[0], vec![more]);
    assert_eq!(told.without_place(), 2, "two of the six that filled all three");
}

#[test]
fn what_may_run_on_one_node_only_has_no_place_without_it() {
    let mut world = World::new(2);
    let mut pinned = job("web", 1);
    let placement = Placement { node: Some("n1".into()), ..Placement::default() };
    pinned.groups.values_mut().for_each(|group| group.placement = placement.clone());
    world.put(pinned);
    world.settle_healthy();
    assert_eq!(without(&world, &[1], vec![]).without_place(), 1);
    assert_eq!(without(&world, &[0], vec![]), Loss::default(), "nothing runs there");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_allocation_of_a_lost_node_moves_or_has_no_place(counts in proptest::collection::vec((1u32..5, 200u64..1500), 1..6), lost in proptest::collection::btree_set(0u64..4, 1..4)) {
        let mut world = World::new(4);
        for (number, (count, cpu)) in counts.iter().enumerate() {
            world.put(taking(job(&format!("j{number}"), *count), *cpu, 64 << 20));
        }
        for _ in 0..3 {
            world.settle_healthy();
        }
        let nodes: Vec<u64> = lost.into_iter().collect();
        let mut hit: BTreeMap<String, u64> = BTreeMap::new();
        for (_, alloc) in world.state.allocs.iter().filter(|(_, alloc)| alloc.is_active()) {
            if nodes.contains(&world.index_of(alloc.node)) {
                *hit.entry(alloc.job.name.clone()).or_default() += 1;
            }
        }
        let told = without(&world, &nodes, vec![]);
        let accounted: BTreeMap<String, u64> = told.jobs.iter().map(|(key, groups)| {
            let of = |group: &crate::core::scheduler::GroupLoss| group.moves.len() as u64 + group.without_place.as_ref().map_or(0, |short| u64::from(short.count));
            (key.name.clone(), groups.values().map(of).sum())
        }).collect();
        prop_assert_eq!(accounted, hit);
    }
}
