//! The scheduler's kernel in this process: a state, the decisions of the shipped scheduler, and its plans applied to the state.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proto::ids::{AllocId, Incarnation, JobKey, NodeId, ServerId};
use proto::model::{AllocState, AllocStatus, Group, Job, JobType, NodeIdentity, Resources, Task};
use server::core::scheduler::{Memory, schedule_with};
use server::core::state::{Command, Gc, Kind, Outcome, Plan, State};

/// A state and what deciding on it has taken.
#[derive(Debug, Default)]
pub struct Kernel {
    /// The state.
    pub state: State,
    /// Time spent on decisions: facts in, plan with its reasons out.
    pub deciding: Duration,
    /// Time spent on applying plans, with the state's own checks and events.
    pub applying: Duration,
    memory: Memory,
}

impl Kernel {
    /// Makes a state in its first reign with these machines.
    #[must_use]
    pub fn with(machines: impl IntoIterator<Item = NodeIdentity>) -> Self {
        let mut kernel = Self::default();
        let begin = Kind::BeginReign { server: ServerId(1), boot_nonce: 1, incarnation: Incarnation(1) };
        kernel.apply(begin);
        for identity in machines {
            kernel.apply(Kind::RegisterNode { identity, held: vec![], seen: None });
        }
        kernel
    }

    /// Takes over a state in its first reign.
    #[must_use]
    pub fn on(state: State) -> Self {
        Self { state, ..Self::default() }
    }

    /// Applies a command.
    pub fn apply(&mut self, kind: Kind) -> Outcome {
        self.state.apply(Command::own(self.state.now, kind)).outcome
    }

    /// Submits a job; nothing of it has a place yet.
    pub fn submit(&mut self, job: Job) -> JobKey {
        let key = job.key.clone();
        self.apply(Kind::PutJob { job: Box::new(job), expected: None, message: String::new() });
        key
    }

    /// Decides on a job, applies the plan, and returns how many allocations found a place.
    ///
    /// # Errors
    /// When something of the plan is refused: the scheduler decided against what it was given.
    pub fn place(&mut self, key: &JobKey) -> Result<usize, String> {
        let reign = self.state.reign.ok_or("the reign has not begun")?.reign;
        // As the server has it: somebody holds the state that is decided on.
        let seen = self.state.clone();
        let begun = Instant::now();
        let decision = schedule_with(&seen, std::slice::from_ref(key), seen.now, &mut self.memory);
        self.deciding += begun.elapsed();
        let plan = Plan { reign, seq: self.state.last_plan_seq + 1, ..decision.plan };
        let begun = Instant::now();
        let outcome = self.apply(Kind::ApplyPlan(plan));
        self.applying += begun.elapsed();
        match outcome {
            Outcome::Planned { refused } if refused.is_empty() => Ok(decision.placed.len()),
            other => Err(format!("a plan was refused: {other:?}").chars().take(300).collect()),
        }
    }

    /// Ends and forgets a job with all that it has.
    ///
    /// # Errors
    /// See [`Self::place`].
    pub fn end(&mut self, key: &JobKey) -> Result<(), String> {
        let live: Vec<AllocId> =
            self.state.jobs.get(key).map(|job| job.live.iter().copied().collect()).unwrap_or_default();
        self.apply(Kind::StopJob { key: key.clone(), purge: true });
        self.place(key)?;
        for id in &live {
            let Some(node) = self.state.allocs.get(*id).map(|alloc| alloc.node) else { continue };
            let Some(generation) = self.state.nodes.get(&node).map(|node| node.generation) else { continue };
            let ended = AllocStatus { id: *id, seq: 1, state: AllocState::Stopped, tasks: vec![] };
            self.apply(Kind::AllocStatus { node, generation, statuses: vec![ended] });
        }
        self.apply(Kind::Gc(Gc { allocs: live }));
        Ok(())
    }
}

/// The machine with that number.
#[must_use]
pub fn machine(number: usize, capacity: Resources) -> NodeIdentity {
    NodeIdentity {
        id: NodeId(1_000_000 + number as u64),
        name: format!("node-{number:05}"),
        machine_id: format!("machine-{number}"),
        boot_id: "first".into(),
        address: format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255),
        version: "0".into(),
        capacity,
        attributes: [("os".to_owned(), "linux".to_owned())].into(),
        failure_domain: None,
        leaving: None,
    }
}

/// A service of one group and one task of that size.
#[must_use]
pub fn service(name: &str, count: u32, resources: Resources) -> Job {
    let task = Task { resources, ..Task::new("/bin/true") };
    let group = Group { count, ..Group::new(JobType::Service, BTreeMap::from([("main".to_owned(), task)])) };
    let groups = BTreeMap::from([("main".to_owned(), group)]);
    Job::new(JobKey::new("default", name), JobType::Service, groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_took_is_free_again_once_it_has_ended() {
        let capacity = Resources { cpu_millis: 4000, memory_bytes: 8 << 30 };
        let mut kernel = Kernel::with((0..3).map(|number| machine(number, capacity)));
        let asked = Resources { cpu_millis: 1500, memory_bytes: 1 << 30 };
        let first = kernel.submit(service("first", 7, asked));
        assert_eq!(kernel.place(&first), Ok(6), "two on each of three machines");
        kernel.end(&first).expect("a plan of stops is never refused");
        assert_eq!((kernel.state.jobs.len(), kernel.state.allocs.len()), (0, 0));
        let second = kernel.submit(service("second", 6, asked));
        assert_eq!(kernel.place(&second), Ok(6));
    }
}
