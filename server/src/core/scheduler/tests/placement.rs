//! The rules of a job: what excludes nodes, what prefers them, what spreads over them.

use std::collections::BTreeMap;

use std::collections::BTreeSet;

use proto::model::{Affinity, Placement, Spread, Volume, VolumeSource};

use super::*;
use crate::core::scheduler::{Memory, may_fit, schedule_with};

/// A world of nodes with these racks, in turn.
fn racks(racks: &[&str]) -> World {
    let mut world = World::new(0);
    for (number, rack) in racks.iter().enumerate() {
        let mut identity = node_identity(number as u64);
        if !rack.is_empty() {
            identity.attributes.insert("meta.rack".into(), (*rack).to_owned());
        }
        world.apply(Kind::RegisterNode { identity, held: vec![], seen: None });
    }
    world
}

fn ruled(count: u32, placement: Placement) -> Job {
    let mut job = job("web", count);
    job.groups.values_mut().for_each(|group| group.placement = placement.clone());
    job
}

fn constrained(count: u32, text: &str) -> Job {
    ruled(count, Placement { constraints: vec![text.to_owned()], ..Placement::default() })
}

/// How many of `web` each node has, by the number of the node.
fn places(world: &World) -> BTreeMap<u64, usize> {
    let mut places = BTreeMap::new();
    for id in world.live("web") {
        *places.entry(world.alloc(id).node.0 - world.node(0).0).or_default() += 1;
    }
    places
}

fn placed(mut world: World, job: Job) -> (BTreeMap<u64, usize>, String) {
    world.put(job);
    world.settle();
    let record = world.state.jobs.get(&JobKey::new("default", "web")).expect("the job");
    let wait = record.group("web").and_then(|group| group.wait.clone());
    (places(&world), wait.map_or_else(String::new, |wait| wait.why))
}

#[test]
fn a_constraint_excludes_and_says_so() {
    let world = || racks(&["r1", "r1", "r2"]);
    assert_eq!(placed(world(), constrained(2, "meta.rack == 'r2'")).0, [(2, 2)].into());
    let (none, why) = placed(world(), constrained(1, "meta.rack == 'r9'"));
    assert_eq!((none.len(), why.as_str()), (0, "3 of 3 nodes are ruled out by `meta.rack == 'r9'`"));
    assert_eq!(placed(world(), constrained(1, "node.name == 'n1'")).0, [(1, 1)].into(), "asked of each node");
}

#[test]
fn a_job_that_waits_for_a_kind_of_node_is_placed_when_one_comes() {
    let mut world = racks(&["r1"]);
    world.put(constrained(1, "meta.rack == 'r2'"));
    world.settle();
    let mut identity = node_identity(0);
    identity.attributes.insert("meta.rack".into(), "r2".into());
    world.apply(Kind::RegisterNode { identity, held: vec![], seen: None });
    let key = JobKey::new("default", "web");
    let gained = BTreeSet::from([world.node(0)]);
    assert!(may_fit(&world.state, &key, &gained, world.state.now, &mut Memory::default()));
    world.settle();
    assert_eq!(places(&world), [(0, 1)].into());
}

#[test]
fn one_node_is_asked_for_by_its_name() {
    let pin = |node: &str| ruled(1, Placement { node: Some(node.to_owned()), ..Placement::default() });
    assert_eq!(placed(racks(&["", "", ""]), pin("n2")).0, [(2, 1)].into());
    let id = node_identity(1).id.to_string();
    assert_eq!(placed(racks(&["", "", ""]), pin(&id)).0, [(1, 1)].into());
    let (_, why) = placed(racks(&["", ""]), pin("n7"));
    assert_eq!(why, "2 of 2 nodes are not `n7`, the one that the job wants");
}

#[test]
fn a_volume_that_an_agent_declares_is_where_its_work_goes() {
    let mut world = racks(&["", ""]);
    let mut identity = node_identity(1);
    identity.attributes.insert("volume.pgdata".into(), "/srv/pg".into());
    world.apply(Kind::RegisterNode { identity, held: vec![], seen: None });
    let with_volume = |name: &str| {
        let mut job = job("web", 1);
        let volume = Volume { source: VolumeSource::Host(name.to_owned()), read_only: false };
        job.groups.values_mut().for_each(|group| drop(group.volumes.insert("data".into(), volume.clone())));
        job
    };
    let (places, why) = placed(world, with_volume("pgdata"));
    assert_eq!((places, why.as_str()), ([(1, 1)].into(), ""));
    let (_, why) = placed(racks(&[""]), with_volume("pgdata"));
    assert_eq!(why, "the only node has not all of the volumes pgdata");
}

#[test]
fn an_affinity_prefers_and_excludes_nothing() {
    let liking = |when: &str, weight: i8| {
        let affinities = vec![Affinity { when: when.to_owned(), weight }];
        ruled(2, Placement { affinities, ..Placement::default() })
    };
    let world = || racks(&["r1", "r2", "r1"]);
    assert_eq!(placed(world(), liking("meta.rack == 'r2'", 50)).0, [(1, 2)].into());
    assert_eq!(placed(world(), liking("meta.rack == 'r1'", -50)).0, [(1, 2)].into());
    let large = |job: Job| taking(job, 3000, 1 << 20);
    assert_eq!(
        placed(world(), large(liking("meta.rack == 'r2'", 100))).0.len(),
        2,
        "the other where there is room"
    );
}

#[test]
fn a_spread_is_even_whatever_the_number_of_nodes_and_follows_its_targets() {
    let spread = |count: u32, targets: &[(&str, u8)]| {
        let targets = targets.iter().map(|(rack, share)| ((*rack).to_owned(), *share)).collect();
        let spread = vec![Spread { over: "meta.rack".into(), weight: 50, targets }];
        ruled(count, Placement { spread, ..Placement::default() })
    };
    let all = ["r1", "r2", "r2", "r2", "r3", "r3"];
    let by_rack = |places: BTreeMap<u64, usize>| {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        places.into_iter().for_each(|(node, count)| *counts.entry(all[node as usize]).or_default() += count);
        counts.into_values().collect::<Vec<_>>()
    };
    assert_eq!(by_rack(placed(racks(&all), spread(9, &[])).0), [3, 3, 3]);
    assert_eq!(by_rack(placed(racks(&all), spread(10, &[("r1", 50), ("r2", 30)])).0), [5, 3, 2]);
    let mut world = racks(&all);
    world.put(spread(3, &[]));
    world.settle();
    assert_eq!(by_rack(placed(world, spread(6, &[])).0), [2, 2, 2], "what is there counts");
}

#[test]
fn what_is_distinct_is_never_together() {
    let distinct = |count: u32, fact: &str| {
        ruled(count, Placement { distinct: Some(fact.to_owned()), ..Placement::default() })
    };
    let world = || racks(&["r1", "r1", "r2", ""]);
    let (places, why) = placed(world(), distinct(3, "meta.rack"));
    assert_eq!(places.len(), 2);
    assert_eq!(
        why,
        "3 of 4 nodes have the `meta.rack` of another of the group, 1 of 4 nodes has no `meta.rack`, which must be distinct"
    );
    let (places, why) = placed(world(), distinct(5, "node"));
    assert_eq!((places.len(), places.values().max()), (4, Some(&1)));
    assert_eq!(why, "4 of 4 nodes have one of the group already");
}

#[test]
fn answers_are_remembered_and_change_nothing() {
    let mut world = racks(&["r1", "r2"]);
    world.put(constrained(2, "meta.rack == 'r2'"));
    let keys = [JobKey::new("default", "web")];
    let mut memory = Memory::default();
    let first = schedule_with(&world.state, &keys, world.state.now, &mut memory);
    assert_eq!(first, schedule_with(&world.state, &keys, world.state.now, &mut memory));
    assert_eq!(first, schedule(&world.state, &keys, world.state.now));
    // A node changes its rack: what was remembered is of another fleet.
    let mut identity = node_identity(1);
    identity.attributes.insert("meta.rack".into(), "r1".into());
    world.apply(Kind::RegisterNode { identity, held: vec![], seen: None });
    let after = schedule_with(&world.state, &keys, world.state.now, &mut memory);
    assert!(after.placed.is_empty() && after == schedule(&world.state, &keys, world.state.now));
}

#[test]
fn what_is_liked_as_much_as_it_is_spread_worse_is_no_better_than_the_rest() {
    let affinities = vec![Affinity { when: "meta.rack == 'r1'".to_owned(), weight: 50 }];
    let spread = vec![Spread { over: "meta.rack".into(), weight: 50, targets: BTreeMap::new() }];
    let job = ruled(2, Placement { affinities, spread, ..Placement::default() });
    // The second one costs r1 another 50, which is what the job likes it for: then the lower id decides.
    assert_eq!(placed(racks(&["r1", "r2", "r1"]), job).0, [(0, 1), (1, 1)].into());
}

#[test]
fn what_is_spread_goes_where_there_is_a_value_also_when_there_are_more_values_than_allocations() {
    let spread = vec![Spread { over: "meta.rack".into(), weight: 50, targets: BTreeMap::new() }];
    let job = ruled(2, Placement { spread, ..Placement::default() });
    assert_eq!(placed(racks(&["", "r1", "r2", "r3", "r4"]), job).0, [(1, 1), (2, 1)].into());
}
