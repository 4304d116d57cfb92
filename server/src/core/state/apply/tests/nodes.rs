//! Nodes come, go and come back.

use super::*;

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
    world.apply(Kind::RegisterNode { identity, held, seen: None });
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
fn foreign_work_that_is_named_twice_takes_room_once() {
    let mut world = World::new(1);
    let foreign = |seq| status(AllocId(999), seq, AllocState::Running, TaskPhase::Running, None);
    let taken = |cpu_millis| Resources { cpu_millis, memory_bytes: 1 };
    let held =
        vec![(Incarnation(1234), foreign(1), taken(2000)), (Incarnation(1235), foreign(2), taken(1000))];
    world.apply(Kind::RegisterNode { identity: node_identity(0), held, seen: None });
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
    let Outcome::Refused(refusal) =
        world.apply(Kind::RegisterNode { identity: clone, held: vec![], seen: None }).outcome
    else {
        panic!("accepted a clone");
    };
    assert!(refusal.message.contains("cloned VM"), "{}", refusal.message);
    let mut twin = node_identity(1);
    (twin.id, twin.machine_id) = (NodeId(77), "m77".into());
    let Outcome::Refused(refusal) =
        world.apply(Kind::RegisterNode { identity: twin, held: vec![], seen: None }).outcome
    else {
        panic!("accepted a taken name");
    };
    assert!(refusal.message.contains("--name"), "{}", refusal.message);
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
    let of_boot = |boot: &str| proto::model::NodeIdentity { boot_id: boot.into(), ..node_identity(0) };
    for boot in ["the same", "the one before"] {
        let mut world = World::new(1);
        let seen = Some(world.state.revision);
        world.apply(Kind::RegisterNode { identity: of_boot("the same"), held: vec![], seen });
        world.put(job("web", 1));
        world.settle();
        let id = world.live("web")[0];
        world.report(0, status(id, 1, AllocState::Running, TaskPhase::Running, None));

        let late = world.apply(Kind::RegisterNode { identity: of_boot(boot), held: vec![], seen }).outcome;
        assert!(matches!(late, Outcome::Refused(_)), "{boot}: {late:?}");
        assert!(!world.alloc(id).has_ended(), "it runs on");
        let seen = Some(world.state.revision);
        let fresh = world.apply(Kind::RegisterNode { identity: of_boot(boot), held: vec![], seen }).outcome;
        assert!(matches!(fresh, Outcome::Registered { .. }), "{boot}: {fresh:?}");
    }
}

#[test]
fn a_machine_that_comes_back_smaller_keeps_what_runs_and_takes_nothing_more() {
    let mut world = World::new(1);
    world.put(job("web", 2));
    world.settle();
    let allocs: Vec<AllocId> = world.state.allocs.iter().map(|(id, _)| id).collect();
    let held = allocs.iter().map(|id| {
        let status = status(*id, 1, AllocState::Running, TaskPhase::Running, None);
        (INCARNATION, status, Resources { cpu_millis: 100, memory_bytes: 64 << 20 })
    });
    let mut identity = node_identity(0);
    identity.capacity = Resources { cpu_millis: 150, memory_bytes: 1 << 30 };
    world.apply(Kind::RegisterNode { identity, held: held.collect(), seen: None });
    assert_eq!(world.state.check(), []);
    assert_eq!(world.state.allocs.iter().filter(|(_, alloc)| alloc.counted).count(), 2, "both run on");

    world.put(job("late", 1));
    world.settle();
    assert_eq!(world.state.allocs.iter().count(), 2, "there is no room");
    let mut written = Vec::new();
    write_snapshot(&world.state, &mut written).expect("memory takes it");
    assert_eq!(read_snapshot(&mut written.as_slice()).expect("it reads").check(), []);
}
