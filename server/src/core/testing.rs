//! Small worlds for the tests of `core`: a state, changed by commands alone, with its invariants checked on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::ids::{AllocId, Incarnation, JobKey, NodeId, ServerId};
use proto::model::{
    AllocState, AllocStatus, Group, Job, JobType, Liveness, NodeIdentity, Reschedule, Resources, Restart,
    Task, TaskPhase, TaskStatus,
};
use proto::time::Timestamp;

use super::rules::{Draining, Health, Rule};
use super::scheduler::schedule;
use super::state::{Alloc, Applied, Command, DrainStep, Kind, LivenessChange, Outcome, Plan, State};

pub(crate) const INCARNATION: Incarnation = Incarnation(5);

/// A service of one group and one task, all of that name: 100 millicores and 64 MiB each.
pub(crate) fn job(name: &str, count: u32) -> Job {
    let resources = Resources { cpu_millis: 100, memory_bytes: 64 << 20 };
    let task = Task { resources, ..Task::new("/bin/true") };
    let tasks = BTreeMap::from([(name.to_owned(), task)]);
    let group = Group { count, ..Group::new(JobType::Service, tasks) };
    let groups = BTreeMap::from([(name.to_owned(), group)]);
    Job::new(JobKey::new("default", name), JobType::Service, groups)
}

pub(crate) fn batch(name: &str, count: u32) -> Job {
    let mut job = job(name, count);
    job.kind = JobType::Batch;
    for group in job.groups.values_mut() {
        (group.kind, group.restart, group.reschedule) = (JobType::Batch, Restart::BATCH, Reschedule::BATCH);
    }
    job
}

/// A job like [`job`] that runs once per node.
pub(crate) fn system(name: &str, kind: JobType) -> Job {
    let mut job = job(name, 1);
    job.kind = kind;
    job.groups.values_mut().for_each(|group| group.kind = kind);
    job
}

/// The machine with that number: 4 cores, 8 GiB.
pub(crate) fn node_identity(number: u64) -> NodeIdentity {
    NodeIdentity {
        id: NodeId(100 + number),
        name: format!("n{number}"),
        machine_id: format!("m{number}"),
        boot_id: "b".into(),
        address: "127.0.0.1".into(),
        version: "0".into(),
        capacity: Resources { cpu_millis: 4000, memory_bytes: 8 << 30 },
        attributes: BTreeMap::new(),
        failure_domain: None,
        leaving: None,
    }
}

/// A state in its first reign, with nodes.
pub(crate) struct World {
    pub(crate) state: State,
    seq: u64,
    reports: u64,
}

impl World {
    pub(crate) fn new(nodes: u64) -> Self {
        let mut world = Self { state: State::default(), seq: 0, reports: 1000 };
        world.apply(Kind::BeginReign { server: ServerId(1), boot_nonce: 1, incarnation: INCARNATION });
        for number in 0..nodes {
            world.apply(Kind::RegisterNode { identity: node_identity(number), held: vec![], seen: None });
        }
        world
    }

    pub(crate) fn apply(&mut self, kind: Kind) -> Applied {
        self.state.apply(Command::own(self.state.now, kind))
    }

    pub(crate) fn put(&mut self, job: Job) -> Outcome {
        self.apply(Kind::PutJob { job: Box::new(job), expected: None, message: String::new() }).outcome
    }

    /// Decides on every job.
    pub(crate) fn decide(&mut self) -> Plan {
        let jobs: Vec<JobKey> = self.state.jobs.iter().map(|(key, _)| key.clone()).collect();
        let plan = schedule(&self.state, &jobs, self.state.now).plan;
        self.number(plan)
    }

    fn number(&mut self, plan: Plan) -> Plan {
        self.seq = self.seq.max(self.state.last_plan_seq) + 1;
        Plan { reign: self.state.reign.expect("reigns").reign, seq: self.seq, ..plan }
    }

    pub(crate) fn plan(&mut self, plan: Plan) -> Applied {
        let plan = self.number(plan);
        self.apply(Kind::ApplyPlan(plan))
    }

    /// Decides and applies until there is nothing to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            let plan = self.decide();
            if plan.is_empty() {
                return;
            }
            self.apply(Kind::ApplyPlan(plan));
        }
        panic!("deciding again on the same facts proposes something");
    }

    /// Settles; agents do what they are told; two seconds pass.
    pub(crate) fn settle_healthy(&mut self) {
        self.settle();
        let live: Vec<Alloc> = self
            .state
            .allocs
            .iter()
            .map(|(_, alloc)| alloc.clone())
            .filter(|alloc| !alloc.has_ended())
            .collect();
        for alloc in live {
            let (state, phase) = match alloc.desired {
                proto::model::Desired::Run => (AllocState::Running, TaskPhase::Running),
                proto::model::Desired::Stop(_) => (AllocState::Stopped, TaskPhase::Ended),
            };
            self.reports += 1;
            let task = TaskStatus {
                name: alloc.group.to_string(),
                phase,
                attempt: 1,
                window_try: 1,
                window_tries: Some(4),
                pid: 1,
                started_at: None,
                last_end: None,
            };
            let status = AllocStatus { id: alloc.id, seq: self.reports - 1000, state, tasks: vec![task] };
            self.report_on(alloc.node, status);
        }
        self.pass(2000);
        for rule in [&Health as &dyn Rule, &Draining] {
            for kind in rule.decide(&self.state, self.state.now).proposals {
                self.apply(kind);
            }
        }
        self.settle();
    }

    /// Begins to drain the node of that number.
    pub(crate) fn drain(&mut self, number: u64, deadline: Option<Duration>) -> Outcome {
        let step = DrainStep::Begin { deadline, message: String::new() };
        self.apply(Kind::DrainNode { node: self.node(number), step }).outcome
    }

    pub(crate) fn cancel_drain(&mut self, number: u64) -> Outcome {
        self.apply(Kind::DrainNode { node: self.node(number), step: DrainStep::Cancel }).outcome
    }

    /// Returns for a node's live allocations their slots, and which of them are wanted.
    pub(crate) fn on(&self, number: u64) -> Vec<(String, bool)> {
        let node = self.node(number);
        let here = self.state.allocs.iter().filter(|(_, alloc)| alloc.node == node && !alloc.has_ended());
        let mut here: Vec<(String, bool)> =
            here.map(|(_, alloc)| (alloc.name(), alloc.desired == proto::model::Desired::Run)).collect();
        here.sort();
        here
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.state.now = Timestamp(self.state.now.0 + ms);
    }

    pub(crate) fn report(&mut self, node: u64, status: AllocStatus) {
        self.report_on(self.node(node), status);
    }

    pub(crate) fn report_on(&mut self, node: NodeId, status: AllocStatus) {
        let generation = self.state.nodes.get(&node).expect("node").generation;
        self.apply(Kind::AllocStatus { node, generation, statuses: vec![status] });
    }

    pub(crate) fn register(&mut self, number: u64, held: Vec<(Incarnation, AllocStatus)>) {
        let held = held
            .into_iter()
            .map(|(incarnation, status)| (incarnation, status, Resources::default()))
            .collect();
        self.apply(Kind::RegisterNode { identity: node_identity(number), held, seen: None });
    }

    pub(crate) fn lose(&mut self, node: NodeId) {
        let generation = self.state.nodes.get(&node).expect("node").generation;
        self.apply(Kind::NodeLiveness(vec![LivenessChange { node, generation, liveness: Liveness::Down }]));
    }

    pub(crate) fn node(&self, number: u64) -> NodeId {
        NodeId(100 + number)
    }

    pub(crate) fn index_of(&self, node: NodeId) -> u64 {
        node.0 - 100
    }

    pub(crate) fn live(&self, job: &str) -> Vec<AllocId> {
        let record = self.state.jobs.get(&JobKey::new("default", job));
        record.map(|record| record.live.iter().copied().collect()).unwrap_or_default()
    }

    pub(crate) fn alloc(&self, id: AllocId) -> &Alloc {
        self.state.allocs.get(id).expect("allocation")
    }

    /// # Panics
    /// When an invariant does not hold.
    pub(crate) fn check(&self) {
        let found = self.state.check();
        assert!(found.is_empty(), "{found:#?}");
    }
}
