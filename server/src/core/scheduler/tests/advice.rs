//! What would help what has no place, told by the closest cause.

use proto::model::{Affinity, Placement, Spread};

use super::*;
use crate::core::scheduler::advice;
use crate::core::state::{Edge, RunnerUp};

/// Puts the job, decides, and returns what would help.
fn advised(world: &mut World, job: Job) -> String {
    let key = job.key.clone();
    world.put(job);
    world.settle();
    let record = world.state.jobs.get(&key).expect("the job");
    advice(&world.state, record, &key.name)
}

fn ruled(job: Job, placement: Placement) -> Job {
    let mut job = job;
    job.groups.values_mut().for_each(|group| group.placement = placement.clone());
    job
}

#[test]
fn a_cordoned_node_that_would_fit_is_named() {
    let mut world = World::new(2);
    cordon(&mut world, 0);
    cordon(&mut world, 1);
    assert_eq!(advised(&mut world, job("web", 1)), "n0 would fit: `minijob node uncordon n0`");
}

#[test]
fn the_closest_node_is_named_where_room_is_lacking() {
    let mut world = World::new(2);
    world.put(taking(job("a", 1), 1000, 6 << 30));
    world.put(taking(job("b", 1), 1000, 5 << 30));
    world.settle();
    let told = advised(&mut world, taking(job("web", 1), 100, 4 << 30));
    assert_eq!(
        told,
        "n1 is closest with 3GiB of memory free: `minijob node status n1` shows what takes the rest; ask for less under `resources`, add a node"
    );
    let told = advised(&mut world, taking(job("web", 3), 100, 3 << 30));
    assert!(told.ends_with("or settle for what there is: `minijob scale web 1`"), "{told}");
}

#[test]
fn what_is_larger_than_every_node_is_told_so() {
    let told = advised(&mut World::new(1), taking(job("web", 1), 9000, 1 << 20));
    assert_eq!(
        told,
        "no node is large enough: n0 has 4 of cpu in all; ask for less under `resources`, or add a larger node"
    );
}

#[test]
fn who_holds_a_port_may_be_stopped() {
    let mut world = World::new(1);
    world.put(on_port(job("old", 1), 8080));
    world.settle();
    let told = advised(&mut world, on_port(job("web", 1), 8080));
    assert_eq!(told, "`minijob stop old` frees port 8080 on n0, or ask for another port");
    let mut alone = World::new(1);
    let told = advised(&mut alone, on_port(job("web", 2), 8080));
    assert!(
        told.contains("without the number each gets a port of its own")
            && told.contains("`minijob scale web 1`"),
        "{told}"
    );
}

#[test]
fn of_constraints_it_is_told_where_each_holds() {
    let constraints = vec!["node.name == 'n1'".to_owned(), "meta.rack == 'r9'".to_owned()];
    let told =
        advised(&mut World::new(3), ruled(job("web", 1), Placement { constraints, ..Placement::default() }));
    assert_eq!(
        told,
        "`node.name == 'n1'` holds on 1 of 3 nodes, `meta.rack == 'r9'` holds on 0 of 3 nodes; `minijob node status NODE` shows the facts of a node"
    );
    let distinct = Placement { distinct: Some("node".into()), ..Placement::default() };
    let told = advised(&mut World::new(2), ruled(job("web", 3), distinct));
    assert_eq!(told, "add a node with another value, or settle for what there is: `minijob scale web 2`");
}

#[test]
fn a_node_that_is_down_is_to_be_started() {
    let mut world = World::new(1);
    world.lose(world.node(0));
    let told = advised(&mut world, job("web", 1));
    assert_eq!(told, "start the agent of n0 again; `minijob node status n0` shows since when it is silent");
    assert_eq!(advised(&mut World::new(0), job("web", 1)), "`minijob agent` on a machine makes it a node");
}

#[test]
fn what_is_told_of_a_wait_changes_while_its_cause_does_not() {
    let mut world = World::new(2);
    world.put(taking(job("a", 1), 1000, 6 << 30));
    world.put(taking(job("b", 1), 1000, 6 << 30));
    world.settle();
    let before = advised(&mut world, taking(job("web", 1), 100, 4 << 30));
    let revision = world.state.revision;
    let id = world.live("b")[0];
    world.apply(Kind::StopJob { key: JobKey::new("default", "b"), purge: false });
    world.settle();
    let status = AllocStatus { id, seq: 9, state: AllocState::Stopped, tasks: vec![] };
    world.report_on(world.alloc(id).node, status);
    world.put(taking(job("c", 1), 1000, 5 << 30));
    world.settle();
    let record = world.state.jobs.get(&JobKey::new("default", "web")).expect("the job");
    assert_ne!(advice(&world.state, record, "web"), before);
    assert!(
        record
            .group("web")
            .and_then(|group| group.wait.as_ref())
            .is_some_and(|wait| wait.since <= world.state.now)
    );
    let said = world.state.events.of_job(&record.key).filter(|event| event.revision > revision).count();
    assert_eq!(said, 0, "nothing is said again");
}

/// The runner-up of the first placement.
fn runner_up(world: &World) -> Option<(u64, Edge)> {
    let decision = decide(&world.state);
    let next: Option<RunnerUp> = decision.placed[0].runner_up;
    next.map(|next| (world.index_of(next.node), next.edge))
}

#[test]
fn the_next_best_node_is_remembered_with_what_decided() {
    let with = |nodes: u64, job: Job| {
        let mut world = World::new(nodes);
        world.put(job);
        runner_up(&world)
    };
    assert_eq!(with(1, job("web", 1)), None, "there is no other");
    assert_eq!(with(3, job("web", 1)), Some((1, Edge::Id)));
    let affinities = vec![Affinity { when: "node.name == 'n2'".into(), weight: 10 }];
    let liking = ruled(job("web", 1), Placement { affinities, ..Placement::default() });
    assert_eq!(with(3, liking), Some((0, Edge::Liking)));
    let mut filled = World::new(2);
    filled.put(job("a", 1));
    filled.settle();
    filled.put(job("web", 1));
    assert_eq!(runner_up(&filled), Some((1, Edge::Fit)));
    let mut more = World::new(2);
    more.put(job("web", 1));
    more.settle();
    more.put(job("web", 2));
    assert_eq!(runner_up(&more), Some((0, Edge::Copies)));
}

#[test]
fn a_spread_and_a_failure_domain_decide_by_name() {
    let racks = |by: fn(&mut proto::model::NodeIdentity, String)| {
        let mut world = World::new(0);
        for number in 0..3u64 {
            let mut identity = node_identity(number);
            by(&mut identity, format!("r{}", number / 2));
            world.apply(Kind::RegisterNode { identity, held: vec![], seen: None });
        }
        world
    };
    let grow = |world: &mut World, job: fn(u32) -> Job| {
        world.put(job(1));
        world.settle();
        world.put(job(2));
        runner_up(world)
    };
    let mut domains = racks(|identity, rack| identity.failure_domain = Some(rack));
    assert_eq!(grow(&mut domains, |count| job("web", count)), Some((1, Edge::Domain)));
    let mut spread = racks(|identity, rack| drop(identity.attributes.insert("meta.rack".into(), rack)));
    let over_racks = |count| {
        let spread = Spread { over: "meta.rack".into(), weight: 50, targets: Default::default() };
        ruled(job("web", count), Placement { spread: vec![spread], ..Placement::default() })
    };
    assert_eq!(grow(&mut spread, over_racks), Some((1, Edge::Spread)));
}
