//! Plans are compared with what is, run by run.

use super::*;

#[test]
fn a_plan_is_refused_run_by_run() {
    let mut world = World::new(2);
    world.put(job("web", 4));
    let [a, b] = [world.node(0), world.node(1)];
    let reason = PlaceReason::default();
    let run = |node, generation, first_index, count| PlanRun { node, generation, first_index, count, reason };
    let item = PlanItem {
        job: JobKey::new("default", "web"),
        version: JobVersion(1),
        group: "web".into(),
        runs: vec![
            run(a, Generation(1), 0, 1),
            run(b, Generation(9), 1, 1),
            run(a, Generation(1), 0, 1),
            run(b, Generation(1), 1, 200),
        ],
    };
    let applied = world.plan(Plan { items: vec![item], ..Plan::default() });
    let Outcome::Planned { refused } = &applied.outcome else { panic!("{applied:?}") };
    let why: Vec<&str> = refused.iter().map(|run| run.why).collect();
    assert_eq!(why, ["generation changed", "slot is filled", "cpu"]);
    assert_eq!(world.live("web").len(), 1);
    assert!(applied.changes.jobs.contains(&JobKey::new("default", "web")), "its job stays dirty");
    world.check();
}

#[test]
fn a_plan_of_an_earlier_reign_or_out_of_order_changes_nothing() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    let plan = world.decide();
    let old = Plan { reign: Revision(0), ..plan.clone() };
    assert!(matches!(world.apply(Kind::ApplyPlan(old)).outcome, Outcome::Refused(_)));
    let done = world.apply(Kind::ApplyPlan(plan.clone()));
    assert!(matches!(done.outcome, Outcome::Planned { .. }));
    assert!(matches!(world.apply(Kind::ApplyPlan(plan)).outcome, Outcome::Refused(_)), "the same plan twice");
    assert_eq!(world.live("web").len(), 1);
}

#[test]
fn room_is_taken_until_the_end_is_reported() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    world.settle();
    let id = world.live("web")[0];
    let taken = world.state.nodes.get(&world.node(0)).expect("node").used;
    assert_eq!(taken, Resources { cpu_millis: 100, memory_bytes: 64 << 20 });
    world.apply(Kind::StopJob { key: JobKey::new("default", "web"), purge: false });
    world.settle();
    assert_eq!(world.alloc(id).desired, Desired::Stop(StopReason::JobStopped));
    assert_eq!(world.state.nodes.get(&world.node(0)).expect("node").used, taken, "it still runs");
    world.report(0, status(id, 1, AllocState::Stopped, TaskPhase::Ended, Some(EndReason::Stopped)));
    assert_eq!(world.state.nodes.get(&world.node(0)).expect("node").used, Resources::default());
    world.check();
}

#[test]
fn a_plan_in_flight_from_before_a_loss_is_refused() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    let plan = world.decide();
    let node = world.node(0);
    world.lose(node);
    world.register(0, vec![]);
    let Outcome::Planned { refused } = world.apply(Kind::ApplyPlan(plan)).outcome else {
        panic!("refused whole")
    };
    assert_eq!(refused[0].why, "generation changed");
}

#[test]
fn static_ports_conflict_and_dynamic_ones_differ() {
    let mut world = World::new(1);
    let mut fixed = job("fixed", 2);
    fixed.groups.get_mut("fixed").expect("group").ports =
        BTreeMap::from([("http".into(), Port::Static(8080))]);
    world.put(fixed);
    let mut free = job("free", 3);
    free.groups.get_mut("free").expect("group").ports =
        BTreeMap::from([("a".into(), Port::Dynamic), ("b".into(), Port::Dynamic)]);
    world.put(free);
    world.settle();
    assert_eq!((world.live("fixed").len(), world.live("free").len()), (1, 3));
    let wait =
        world.state.jobs.get(&JobKey::new("default", "fixed")).expect("job").groups["fixed"].wait.clone();
    assert_eq!(wait.expect("waits").why, "the only node has port 8080 in use by fixed.fixed.0 on n0");
    let ports: std::collections::BTreeSet<u16> = world
        .live("free")
        .iter()
        .flat_map(|id| world.alloc(*id).ports.to_vec())
        .map(|(_, port)| port)
        .collect();
    assert_eq!(ports.len(), 6);
    world.check();
}

#[test]
fn a_plan_does_not_fill_a_group_beyond_its_count_when_something_lost_came_back_meanwhile() {
    let mut world = World::new(3);
    world.put(job("web", 3));
    world.settle();
    let back = *world.live("web").last().expect("placed");
    let node = world.alloc(back).node;
    let number = world.index_of(node);
    world.report(number, status(back, 1, AllocState::Running, TaskPhase::Running, None));
    world.lose(node);
    // Decided while it was lost, for another slot than the one it has.
    let item = PlanItem {
        job: JobKey::new("default", "web"),
        version: JobVersion(1),
        group: "web".into(),
        runs: vec![PlanRun {
            node: world.node((number + 1) % 3),
            generation: Generation(1),
            first_index: 7,
            count: 1,
            reason: PlaceReason::default(),
        }],
    };
    world.register(
        number,
        vec![(INCARNATION, status(back, 1, AllocState::Running, TaskPhase::Running, None))],
    );
    let applied = world.plan(Plan { items: vec![item], ..Plan::default() });
    let Outcome::Planned { refused } = applied.outcome else { panic!("{applied:?}") };
    assert_eq!(refused.iter().map(|run| run.why).collect::<Vec<_>>(), ["group is full"]);
    assert_eq!(world.live("web").len(), 3);
    world.check();
}

#[test]
fn a_slot_that_is_done_is_not_run_again_by_a_plan_that_was_in_flight() {
    let mut world = World::new(2);
    world.put(crate::core::testing::batch("sum", 1));
    world.settle();
    let first = world.live("sum")[0];
    let on = world.alloc(first).node;
    let mut running = status(first, 1, AllocState::Running, TaskPhase::Running, None);
    running.tasks[0].name = "sum".into();
    world.report_on(on, running);
    world.lose(on);
    let in_flight = world.decide();
    let mut done = status(first, 2, AllocState::Complete, TaskPhase::Ended, Some(EndReason::Exit(0)));
    done.tasks[0].name = "sum".into();
    world.register(world.index_of(on), vec![(INCARNATION, done)]);
    let Outcome::Planned { refused } = world.apply(Kind::ApplyPlan(in_flight)).outcome else {
        panic!("refused whole")
    };
    assert_eq!(refused.len(), 1, "its work is done");
    world.settle();
    assert!(world.live("sum").is_empty());
    world.check();
}

#[test]
fn a_slot_that_was_given_up_takes_no_place_from_what_a_smaller_count_wants() {
    let mut world = World::new(3);
    let mut spec = job("web", 3);
    spec.groups.get_mut("web").expect("group").restart.on_exhausted = OnExhausted::Fail;
    world.put(spec.clone());
    world.settle_healthy();
    let last = *world.live("web").iter().max_by_key(|id| world.alloc(**id).index).expect("three");
    world.report_on(
        world.alloc(last).node,
        status(last, 90, AllocState::Failed, TaskPhase::Ended, Some(EndReason::Exit(1))),
    );
    spec.groups.get_mut("web").expect("group").count = 2;
    world.put(spec);
    world.settle();
    let lost = world.alloc(world.live("web")[0]).node;
    world.lose(lost);
    world.settle();
    let active = world.live("web").iter().filter(|id| world.alloc(**id).is_active()).count();
    assert_eq!(active, 2, "the lost one is replaced");
    world.check();
}
