//! Small worlds for tests: a state that is changed by commands alone, with a clock that moves by hand; and a cluster that lives.

pub(crate) mod live;

use std::time::Duration;

use proto::ids::{AllocId, Generation, Incarnation, JobKey, NodeId, ServerId};
use proto::model::{
    AllocState, AllocStatus, EndReason, Group, Job, JobType, Liveness, NodeIdentity, Port, Reschedule,
    Resources, Restart, Task, TaskEnd, TaskPhase, TaskStatus,
};
use proto::time::Timestamp;

use crate::core::state::{
    Command, Kind, LivenessChange, Outcome, PlaceReason, Plan, PlanItem, PlanRun, PlanWait, State,
};

/// When worlds begin: 2023-11-14T22:13:20Z.
pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000);

/// Returns a service with one group and one task, all of that name.
pub(crate) fn job(name: &str, count: u32) -> Job {
    let tasks = [(name.to_owned(), Task::new("/usr/bin/server"))].into();
    let ports = [("http".to_owned(), Port::Dynamic)].into();
    let group = Group { count, ports, ..Group::new(JobType::Service, tasks) };
    Job::new(JobKey::new("default", name), JobType::Service, [(name.to_owned(), group)].into())
}

/// Returns the same as a batch job.
pub(crate) fn batch(name: &str, count: u32) -> Job {
    let mut job = job(name, count);
    job.kind = JobType::Batch;
    for group in job.groups.values_mut() {
        (group.kind, group.restart, group.reschedule) = (JobType::Batch, Restart::BATCH, Reschedule::BATCH);
    }
    job
}

/// Returns the identity of a node with that number, named `n<number>`.
pub(crate) fn identity(number: u64) -> NodeIdentity {
    NodeIdentity {
        id: NodeId(number),
        name: format!("n{number}"),
        machine_id: format!("machine-{number}"),
        boot_id: "boot".to_owned(),
        address: format!("10.0.0.{number}"),
        version: "0.1.0".to_owned(),
        capacity: Resources { cpu_millis: 4000, memory_bytes: 8 << 30 },
        attributes: [("os".to_owned(), "linux".to_owned())].into(),
        failure_domain: None,
        leaving: None,
    }
}

/// Returns a task that runs its first try.
pub(crate) fn running(name: &str, at: Timestamp) -> TaskStatus {
    TaskStatus {
        name: name.to_owned(),
        phase: TaskPhase::Running,
        attempt: 1,
        window_try: 1,
        window_tries: Some(4),
        pid: 4711,
        started_at: Some(at),
        last_end: None,
    }
}

/// Returns how a try ended.
pub(crate) fn end(reason: EndReason, at: Timestamp, ran: Duration) -> TaskEnd {
    TaskEnd { reason, at, ran, tail: "boom\n".to_owned() }
}

/// A state with a leader and a clock.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    seq: u64,
}

impl World {
    /// A new cluster with a leader and that many nodes.
    pub(crate) fn new(nodes: u64) -> Self {
        let mut world = Self { state: State::default(), now: START, seq: 0 };
        let begin = Kind::BeginReign { server: ServerId(1), boot_nonce: 1, incarnation: Incarnation(7) };
        world.apply(begin);
        for number in 1..=nodes {
            world.apply(Kind::RegisterNode { identity: identity(number), held: Vec::new(), seen: None });
        }
        world
    }

    /// Applies a command, which must not be refused.
    pub(crate) fn apply(&mut self, kind: Kind) -> Outcome {
        let applied = self.state.apply(Command::own(self.now, kind));
        assert!(!matches!(applied.outcome, Outcome::Refused(_)), "refused: {:?}", applied.outcome);
        applied.outcome
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    pub(crate) fn put(&mut self, job: &Job) {
        self.apply(Kind::PutJob { job: Box::new(job.clone()), expected: None, message: String::new() });
    }

    pub(crate) fn stop(&mut self, name: &str) {
        self.apply(Kind::StopJob { key: JobKey::new("default", name), purge: false });
    }

    /// Places a slot of the job's group of the same name, and returns the allocation.
    pub(crate) fn place(&mut self, name: &str, index: u32, node: u64) -> AllocId {
        let id = AllocId(self.state.next_id);
        let job = JobKey::new("default", name);
        let version = self.state.jobs.get(&job).expect("the job").current().version;
        let (nodes, generation) = (self.state.nodes.len() as u32, self.generation(node));
        let reason = PlaceReason { nodes, feasible: nodes, ..PlaceReason::default() };
        let run = PlanRun { node: NodeId(node), generation, first_index: index, count: 1, reason };
        let item = PlanItem { job, version, group: name.to_owned(), runs: vec![run] };
        let outcome = self.plan(Plan { items: vec![item], ..Plan::default() });
        assert_eq!(outcome, Outcome::Planned { refused: Vec::new() });
        id
    }

    /// Says that a slot of a job has no place.
    pub(crate) fn wait(&mut self, name: &str, count: u32, why: &str) {
        let job = JobKey::new("default", name);
        let version = self.state.jobs.get(&job).expect("the job").current().version;
        let wait = PlanWait { job, version, group: name.to_owned(), count, why: why.to_owned() };
        self.plan(Plan { waits: vec![wait], ..Plan::default() });
    }

    pub(crate) fn plan(&mut self, plan: Plan) -> Outcome {
        self.seq += 1;
        let reign = self.state.reign.expect("a leader").reign;
        self.apply(Kind::ApplyPlan(Plan { reign, seq: self.seq, ..plan }))
    }

    /// The agent reports an allocation.
    pub(crate) fn report(&mut self, id: AllocId, state: AllocState, tasks: Vec<TaskStatus>) {
        self.seq += 1;
        let node = self.state.allocs.get(id).expect("the allocation").node;
        let statuses = vec![AllocStatus { id, seq: self.seq, state, tasks }];
        self.apply(Kind::AllocStatus { node, generation: self.generation(node.0), statuses });
    }

    /// The agent reports that all runs, and a second later it is believed.
    pub(crate) fn healthy(&mut self, id: AllocId) {
        let task = self.state.allocs.get(id).expect("the allocation").job.name.clone();
        let now = self.now;
        self.report(id, AllocState::Running, vec![running(&task, now)]);
        self.pass(1);
        self.apply(Kind::PutHealth { healthy: vec![id] });
    }

    /// A node lets its lease run out.
    pub(crate) fn lose(&mut self, node: u64) {
        let change = LivenessChange {
            node: NodeId(node),
            generation: self.generation(node),
            liveness: Liveness::Down,
        };
        self.apply(Kind::NodeLiveness(vec![change]));
    }

    fn generation(&self, node: u64) -> Generation {
        self.state.nodes.get(&NodeId(node)).expect("the node").generation
    }
}
