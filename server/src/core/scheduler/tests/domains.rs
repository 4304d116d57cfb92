//! Failure domains: what fails together gets as little of a group as there is elsewhere.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proto::model::{Affinity, Placement, Spread};

use super::*;

/// A world of nodes in these failure domains; without a name: in none.
fn domains(domains: &[&str]) -> World {
    let mut world = World::new(0);
    for (number, domain) in domains.iter().enumerate() {
        let mut identity = node_identity(number as u64);
        identity.failure_domain = Some((*domain).to_owned()).filter(|domain| !domain.is_empty());
        world.apply(Kind::RegisterNode { identity, held: vec![], seen: None });
    }
    world
}

/// How many of `web` each node has.
fn places(world: &mut World, job: Job) -> Vec<usize> {
    world.put(job);
    world.settle();
    let mut places = vec![0; world.state.nodes.len()];
    for id in world.live("web").into_iter().filter(|id| world.alloc(*id).is_active()) {
        places[world.index_of(world.alloc(id).node) as usize] += 1;
    }
    places
}

fn with(job: Job, placement: Placement) -> Job {
    let mut job = job;
    job.groups.values_mut().for_each(|group| group.placement = placement.clone());
    job
}

#[test]
fn a_group_goes_over_domains_first_and_over_the_nodes_of_each_then() {
    assert_eq!(places(&mut domains(&["a", "a", "a", "b"]), job("web", 2)), [1, 0, 0, 1]);
    assert_eq!(
        places(&mut domains(&["a", "a", "a", "b"]), job("web", 4)),
        [1, 1, 0, 2],
        "no domain holds more than half"
    );
    assert_eq!(places(&mut domains(&["a", "a", "b", "b"]), job("web", 5)), [2, 1, 1, 1]);
}

#[test]
fn a_node_without_a_domain_is_one_of_its_own() {
    let half_named = || domains(&["a", "a", "a", "", "", ""]);
    assert_eq!(places(&mut half_named(), job("web", 4)), [1, 0, 0, 1, 1, 1]);
    assert_eq!(
        places(&mut half_named(), job("web", 8)),
        [1, 1, 0, 2, 2, 2],
        "as many on each as in the domain"
    );
}

#[test]
fn what_is_there_counts_and_a_lost_domain_is_made_up_for_in_the_others() {
    let mut world = domains(&["a", "a", "b", "b", "c", "c"]);
    assert_eq!(places(&mut world, job("web", 3)), [1, 0, 1, 0, 1, 0]);
    assert_eq!(places(&mut world, job("web", 6)), [1; 6]);
    for number in 0..2 {
        world.lose(world.node(number));
    }
    assert_eq!(places(&mut world, job("web", 6)), [0, 0, 2, 1, 2, 1]);
    world.check();
}

#[test]
fn where_a_domain_is_full_the_others_take_the_rest() {
    let large = taking(job("web", 4), 3000, 1 << 20);
    assert_eq!(places(&mut domains(&["a", "b", "b", "b"]), large), [1; 4]);
}

#[test]
fn what_the_job_asks_for_goes_before_domains() {
    let spread = Spread { over: "node".into(), weight: 50, targets: BTreeMap::new() };
    let over_nodes = with(job("web", 4), Placement { spread: vec![spread], ..Placement::default() });
    assert_eq!(places(&mut domains(&["a", "a", "a", "b"]), over_nodes), [1; 4]);
    let affinities = vec![Affinity { when: "node.failure_domain == 'a'".into(), weight: 10 }];
    let liking = with(job("web", 3), Placement { affinities, ..Placement::default() });
    assert_eq!(places(&mut domains(&["a", "a", "b"]), liking), [2, 1, 0]);
    let distinct = Placement { distinct: Some("failure_domain".into()), ..Placement::default() };
    assert_eq!(places(&mut domains(&["a", "a", "b"]), with(job("web", 3), distinct)), [1, 0, 1]);
}

proptest! {
    #[test]
    fn no_domain_with_room_has_two_less_than_another(named in proptest::collection::vec(0usize..4, 1..12), count in 2u32..40) {
        let names = ["", "a", "b", "c"];
        let nodes: Vec<&str> = named.iter().map(|number| names[*number]).collect();
        let places = places(&mut domains(&nodes), job("web", count));
        let mut held: BTreeMap<String, usize> = BTreeMap::new();
        for (number, (domain, count)) in nodes.iter().zip(&places).enumerate() {
            let domain = if domain.is_empty() { format!("node {number}") } else { (*domain).to_owned() };
            *held.entry(domain).or_default() += count;
        }
        // All nodes have room for 40 of these.
        let (least, most) = (held.values().min().copied(), held.values().max().copied());
        prop_assert!(most <= least.map(|least| least + 1), "{:?}: {:?}", nodes, places);
        prop_assert_eq!(places.iter().sum::<usize>(), count as usize);
    }

    #[test]
    fn domains_of_one_node_each_are_as_none(count in 2u32..20) {
        let mut named = domains(&["a", "b", "c", "d"]);
        let mut unnamed = domains(&["", "", "", ""]);
        prop_assert_eq!(places(&mut named, job("web", count)), places(&mut unnamed, job("web", count)));
    }
}
