//! A small cluster, and commands that make sense in it.

use std::collections::BTreeMap;

use proto::ids::{AllocId, Generation, Incarnation, JobKey, JobVersion, NodeId, RequestId, ServerId};
use proto::model::{
    AllocState, AllocStatus, Eligibility, EndReason, Job, Liveness, NodeIdentity, Resources, StopReason,
    TaskEnd, TaskPhase, TaskStatus,
};
use proto::time::Timestamp;
use server::core::scheduler::schedule;
use server::core::state::{
    Command, Gc, Kind, LivenessChange, PlaceReason, Plan, PlanItem, PlanRun, PlanStop, PlanUpdate, PlanWait,
    Settings,
    State,
};

const INCARNATION: Incarnation = Incarnation(5);

/// Makes a job of one group of that size.
///
/// # Panics
/// When the text below is no job file.
#[must_use]
pub fn job(name: &str, count: u32) -> Job {
    let text = format!(
        "name: {name}\ncount: {count}\ncommand: /bin/true\nargs: [a]\nenv: {{A: b}}\nmeta: {{owner: me}}\n\
         resources: {{cpu: 100m, memory: 64MiB}}\nports: {{http: {{}}, admin: {{static: 8081}}}}\n"
    );
    let text = proto::jobfile::parse("job.yml", &text).map(|mut jobs| jobs.remove(0));
    text.unwrap_or_else(|faults| panic!("{faults}"))
}

fn identity(number: u64) -> NodeIdentity {
    NodeIdentity {
        id: NodeId(number),
        name: format!("n{number}"),
        machine_id: format!("m{number}"),
        boot_id: "b".into(),
        address: "127.0.0.1".into(),
        version: "0".into(),
        capacity: Resources { cpu_millis: 4000, memory_bytes: 8 << 30 },
        attributes: BTreeMap::from([("os".to_owned(), "linux".to_owned())]),
        failure_domain: None,
        leaving: None,
    }
}

/// Makes a report on one allocation.
#[must_use]
pub fn status(id: u64, seq: u64, state: AllocState) -> AllocStatus {
    let phase = if state.has_ended() { TaskPhase::Ended } else { TaskPhase::Running };
    let end = TaskEnd {
        reason: EndReason::StartFailed { step: "exec".into(), errno: 2, message: "no such file".into() },
        at: Timestamp(1_500),
        ran: std::time::Duration::from_millis(3),
        tail: "last words".into(),
    };
    let task = TaskStatus {
        name: "web".into(),
        phase,
        attempt: 2,
        window_try: 1,
        window_tries: Some(4),
        pid: 17,
        started_at: Some(Timestamp(1_000)),
        last_end: Some(end),
    };
    AllocStatus { id: AllocId(id), seq, state, tasks: vec![task] }
}

fn own(kind: Kind) -> Command {
    Command::own(Timestamp(1_000), kind)
}

fn put(job: Job) -> Kind {
    Kind::PutJob { job: Box::new(job), expected: None, message: "why".into() }
}

/// Returns a cluster of two nodes with a service of two: one runs, one is pending.
///
/// # Panics
/// When what it does is refused.
#[must_use]
pub fn world() -> State {
    let mut state = State::default();
    state.apply(own(Kind::BeginReign { server: ServerId(1), boot_nonce: 1, incarnation: INCARNATION }));
    for number in 1..3 {
        state.apply(own(Kind::RegisterNode { identity: identity(number), held: vec![], seen: None }));
    }
    state.apply(own(put(job("web", 2))));
    let reign = state.reign.expect("begun").reign;
    let plan = schedule(&state, &[JobKey::new("default", "web")], state.now).plan;
    state.apply(own(Kind::ApplyPlan(Plan { reign, seq: 1, ..plan })));
    let first = state.allocs.iter().next().map(|(id, alloc)| (id, alloc.node)).expect("placed");
    let generation = state.nodes.get(&first.1).expect("known").generation;
    let running = vec![status(first.0.0, 1, AllocState::Running)];
    state.apply(own(Kind::AllocStatus { node: first.1, generation, statuses: running }));
    assert_eq!((state.allocs.iter().count(), state.settling.len()), (2, 1), "one of two runs");
    assert!(state.check().is_empty());
    state
}

/// Returns one command of every kind that does something in [`world`].
#[must_use]
pub fn commands() -> Vec<Command> {
    let state = world();
    let nodes: Vec<(NodeId, Generation)> =
        state.nodes.iter().map(|(id, node)| (*id, node.generation)).collect();
    let allocs: Vec<(AllocId, NodeId)> = state.allocs.iter().map(|(id, alloc)| (id, alloc.node)).collect();
    let ((node, generation), web) = (nodes[0], JobKey::new("default", "web"));
    let reports = |state| {
        let id = allocs.iter().find(|(_, at)| *at == node).map_or(AllocId(1), |(id, _)| *id);
        Kind::AllocStatus { node, generation, statuses: vec![status(id.0, 9, state)] }
    };
    let held =
        |id, state| vec![(INCARNATION, status(id, 9, state), Resources { cpu_millis: 1, memory_bytes: 1 })];
    let version = state.jobs.get(&web).map_or(JobVersion(1), |job| job.current().version);
    let run = PlanRun { node, generation, first_index: 0, count: 2, reason: PlaceReason::default() };
    let item = PlanItem {
        job: JobKey::new("default", "more"),
        version: JobVersion(1),
        group: "more".into(),
        runs: vec![run],
    };
    let wait = PlanWait { job: web.clone(), version, group: "web".into(), count: 1, why: "no room".into() };
    let plan = Plan {
        reign: state.reign.expect("begun").reign,
        seq: 2,
        items: vec![item],
        stops: vec![PlanStop { alloc: allocs[0].0, reason: StopReason::ScaledDown }],
        updates: vec![PlanUpdate { alloc: allocs[1].0, version }],
        waits: vec![wait],
    };
    let lost = Kind::NodeLiveness(vec![LivenessChange { node, generation, liveness: Liveness::Down }]);
    let kinds = vec![
        Kind::BeginReign { server: ServerId(2), boot_nonce: 3, incarnation: INCARNATION },
        put(job("more", 3)),
        Kind::ApplyPlan(plan),
        reports(AllocState::Running),
        reports(AllocState::Failed),
        reports(AllocState::Stopped),
        Kind::PutHealth { healthy: allocs.iter().map(|(id, _)| *id).collect() },
        lost,
        Kind::RegisterNode { identity: identity(node.0), held: held(allocs[0].0.0, AllocState::Running), seen: None },
        Kind::RegisterNode { identity: identity(3), held: held(77, AllocState::Running), seen: None },
        Kind::NodeEligibility { node, eligibility: Eligibility::Cordoned },
        put(job("web", 1)),
        Kind::StopJob { key: web.clone(), purge: false },
        Kind::StopJob { key: web, purge: true },
        Kind::PutSettings(Settings::default()),
        Kind::Gc(Gc { allocs: allocs.iter().map(|(id, _)| *id).collect() }),
    ];
    let with_request = |(number, kind)| Command {
        now: Timestamp(2_000 + number as u64 * 1_000),
        request: if number % 2 == 1 { RequestId(number as u128) } else { RequestId::default() },
        actor: "me".into(),
        kind,
    };
    kinds.into_iter().enumerate().map(with_request).collect()
}
