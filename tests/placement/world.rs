//! A state that is changed by commands alone, with agents that are played in a few lines.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::ids::{AllocId, Incarnation, JobKey, NodeId, ServerId};
use proto::model::{
    AllocState, AllocStatus, Desired, Eligibility, EndReason, Job, Liveness, NodeIdentity, TaskEnd,
    TaskPhase, TaskStatus,
};
use proto::time::Timestamp;
use server::core::rules::{Draining, Health, Rule};
use server::core::scheduler::{Decision, Memory, schedule_with};
use server::core::state::{
    Alloc, Applied, Command, DrainStep, Kind, LivenessChange, Outcome, Plan, Settings, State,
};

const INCARNATION: Incarnation = Incarnation(5);
/// Rounds in which a world must come to rest.
const ROUNDS: usize = 50;
/// Between two decisions about for whom room is kept, as a leader makes them.
const KEEP_PAUSE_MS: u64 = 2000;

/// A state in its first reign.
#[derive(Clone)]
pub struct World {
    pub state: State,
    /// What its leader remembers.
    pub memory: Memory,
    /// Jobs of which something found no place when they were last looked at.
    pub waiting: BTreeSet<JobKey>,
    kept_looked_at: Timestamp,
    pub has_just_kept_room: bool,
    seq: u64,
    reports: u64,
}

impl World {
    pub fn new() -> Self {
        let mut world = Self {
            state: State::default(),
            memory: Memory::default(),
            waiting: BTreeSet::new(),
            kept_looked_at: Timestamp(0),
            has_just_kept_room: false,
            seq: 0,
            reports: 0,
        };
        // In stored records 0 is no time at all, and no clock shows it.
        world.state.now = Timestamp(1000);
        world.apply(Kind::BeginReign { server: ServerId(1), boot_nonce: 1, incarnation: INCARNATION });
        world
    }

    pub fn apply(&mut self, kind: Kind) -> Applied {
        self.state.apply(Command::own(self.state.now, kind))
    }

    pub fn put(&mut self, job: Job) {
        let kind = Kind::PutJob { job: Box::new(job), expected: None, message: String::new() };
        let outcome = self.apply(kind).outcome;
        assert!(matches!(outcome, Outcome::Written { .. }), "{outcome:?}");
    }

    pub fn register(&mut self, identity: NodeIdentity, held: Vec<AllocStatus>) {
        let with_room = |status: AllocStatus| {
            let takes = self.state.allocs.get(status.id).map(|alloc| alloc.resources).unwrap_or_default();
            (INCARNATION, status, takes)
        };
        let held = held.into_iter().map(with_room).collect();
        let outcome = self.apply(Kind::RegisterNode { identity, held, seen: None }).outcome;
        assert!(matches!(outcome, Outcome::Registered { .. }), "{outcome:?}");
    }

    pub fn lose(&mut self, node: NodeId) {
        let generation = self.state.nodes.get(&node).unwrap().generation;
        self.apply(Kind::NodeLiveness(vec![LivenessChange { node, generation, liveness: Liveness::Down }]));
    }

    /// A node that was away is back, with all that it had or with nothing.
    pub fn come_back(&mut self, node: NodeId, with_all: bool) {
        let identity = self.state.nodes.get(&node).unwrap().identity.as_ref().clone();
        let held = if with_all { self.held_by(node) } else { Vec::new() };
        self.register(identity, held);
    }

    /// What the agent of a node would say that it has.
    pub fn held_by(&mut self, node: NodeId) -> Vec<AllocStatus> {
        let held =
            self.live().into_iter().filter(|alloc| alloc.node == node && alloc.state != AllocState::Pending);
        let held: Vec<Alloc> = held.collect();
        held.iter().map(|alloc| self.status(alloc, alloc.state, TaskPhase::Running, None)).collect()
    }

    pub fn cordon(&mut self, node: NodeId, is_cordoned: bool) {
        let eligibility = if is_cordoned { Eligibility::Cordoned } else { Eligibility::Eligible };
        self.apply(Kind::NodeEligibility { node, eligibility });
    }

    /// A node is to be emptied; what is due of that at once is done.
    pub fn drain(&mut self, node: NodeId, deadline: Option<Duration>) {
        self.apply(Kind::DrainNode { node, step: DrainStep::Begin { deadline, message: String::new() } });
        self.pass(0);
    }

    pub fn jobs(&self) -> Vec<JobKey> {
        self.state.jobs.iter().map(|(key, _)| key.clone()).collect()
    }

    /// Allocations that have not ended.
    pub fn live(&self) -> Vec<Alloc> {
        let all = self.state.allocs.iter().map(|(_, alloc)| alloc.clone());
        all.filter(|alloc| !alloc.has_ended()).collect()
    }

    pub fn allow_preemption(&mut self, preemption: bool) {
        let settings = Settings { preemption, ..self.state.settings.clone() };
        self.apply(Kind::PutSettings(settings));
    }

    /// What would be decided on every job, those of higher priority first and then the older. Nothing remembers it.
    pub fn decide(&self) -> Decision {
        schedule_with(&self.state, &self.in_turn(), self.state.now, &mut self.memory.clone())
    }

    /// Decides so, and does what is decided.
    pub fn decide_and_do(&mut self) -> Decision {
        let decision = schedule_with(&self.state, &self.in_turn(), self.state.now, &mut self.memory);
        self.waiting.clone_from(&decision.waiting);
        self.plan(decision.plan.clone());
        decision
    }

    /// Decides anew for whom room is kept, if it is time for that.
    pub fn keep_room(&mut self) {
        self.has_just_kept_room = self.state.now.0 >= self.kept_looked_at.0 + KEEP_PAUSE_MS;
        if self.has_just_kept_room {
            self.kept_looked_at = self.state.now;
            self.memory.keep_room(&self.state, &self.waiting, self.state.now);
        }
    }

    /// All jobs in the order in which the leader looks at them.
    pub fn in_turn(&self) -> Vec<JobKey> {
        let mut jobs = self.jobs();
        jobs.sort_by_key(|key| {
            let record = self.state.jobs.get(key).unwrap();
            (u8::MAX - record.current().job.priority, record.created)
        });
        jobs
    }

    pub fn plan(&mut self, plan: Plan) -> Outcome {
        self.seq += 1;
        let plan = Plan { reign: self.state.reign.unwrap().reign, seq: self.seq, ..plan };
        self.apply(Kind::ApplyPlan(plan)).outcome
    }

    /// Decides, applies and lets agents do what they are told, until nothing changes.
    pub fn settle_healthy(&mut self) {
        for _ in 0..ROUNDS {
            self.keep_room();
            let is_at_rest = self.decide_and_do().plan.is_empty();
            let acted = self.agents_act(|_| true);
            self.pass(2000);
            if is_at_rest && !acted {
                return;
            }
        }
        panic!("the world does not come to rest: {:?}", self.decide().plan);
    }

    /// Agents that answer begin what they were given and end what they were told to; returns whether there was anything.
    pub fn agents_act(&mut self, which: impl Fn(&Alloc) -> bool) -> bool {
        let mut acted = false;
        for alloc in self.live().iter().filter(|alloc| which(alloc)) {
            if !self.answers(alloc.node) {
                continue;
            }
            let (state, phase) = match alloc.desired {
                Desired::Run if alloc.state == AllocState::Running => continue,
                Desired::Run => (AllocState::Running, TaskPhase::Running),
                Desired::Stop(_) => (AllocState::Stopped, TaskPhase::Ended),
            };
            let status = self.status(alloc, state, phase, None);
            self.report(alloc.node, status);
            acted = true;
        }
        acted
    }

    /// An allocation ends by itself; nothing happens where nobody could tell.
    pub fn end(&mut self, id: AllocId, reason: EndReason) {
        let alloc = self.state.allocs.get(id).unwrap().clone();
        if !self.answers(alloc.node) || alloc.has_ended() {
            return;
        }
        let state = if reason.is_success() { AllocState::Complete } else { AllocState::Failed };
        let status = self.status(&alloc, state, TaskPhase::Ended, Some(reason));
        self.report(alloc.node, status);
    }

    /// Time passes: what has run long enough is believed healthy, and drains do what is due.
    pub fn pass(&mut self, ms: u64) {
        self.state.now = Timestamp(self.state.now.0 + ms);
        for rule in [&Health as &dyn Rule, &Draining] {
            for kind in rule.decide(&self.state, self.state.now).proposals {
                self.apply(kind);
            }
        }
    }

    fn answers(&self, node: NodeId) -> bool {
        self.state.nodes.get(&node).is_some_and(|node| node.liveness == Liveness::Up)
    }

    fn report(&mut self, node: NodeId, status: AllocStatus) {
        let generation = self.state.nodes.get(&node).unwrap().generation;
        self.apply(Kind::AllocStatus { node, generation, statuses: vec![status] });
    }

    fn status(
        &mut self,
        alloc: &Alloc,
        state: AllocState,
        phase: TaskPhase,
        end: Option<EndReason>,
    ) -> AllocStatus {
        self.reports += 1;
        let at = self.state.now;
        let task = TaskStatus {
            name: alloc.group.to_string(),
            phase,
            attempt: 1,
            window_try: 1,
            window_tries: Some(4),
            pid: 1,
            started_at: None,
            last_end: end.map(|reason| TaskEnd { reason, at, ran: Default::default(), tail: String::new() }),
        };
        AllocStatus { id: alloc.id, seq: self.reports, state, tasks: vec![task] }
    }
}
