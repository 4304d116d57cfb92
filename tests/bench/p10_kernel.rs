//! P10, the scheduler's kernel alone: a state in this process, decisions with the shipped `schedule`, and the plans applied to it.

use std::time::Instant;

use proto::ids::{Incarnation, JobKey, ServerId};
use proto::model::{Job, NodeIdentity, Resources};
use server::core::scheduler::schedule;
use server::core::state::{Command, Kind, Outcome, Plan, State};
use tokio::runtime::Runtime;

use crate::Bench;
use crate::control::{service, sized};
use crate::report::{Row, Table};
use crate::tournament;
use crate::world::machine;

/// What one case asks of the kernel.
struct Case {
    what: &'static str,
    nodes: usize,
    /// The sizes of machines, in turn.
    machines: &'static [(u64, u64)],
    /// Jobs, and allocations of each.
    jobs: usize,
    count: u32,
    /// Sizes of allocations, in turn.
    shapes: usize,
}

/// One size: 14 cores and 32 GB.
const ALIKE: &[(u64, u64)] = &[(14_000, 32_000)];
/// Cores and megabytes of a mixed fleet.
const MIXED: &[(u64, u64)] = &[(16_000, 32_768), (16_000, 65_536), (32_000, 65_536), (64_000, 262_144)];

const CASES: &[Case] = &[
    Case {
        what: "(a) 20 jobs x 1,000 on 5,000 nodes",
        nodes: 5000,
        machines: ALIKE,
        jobs: 20,
        count: 1000,
        shapes: 1,
    },
    Case {
        what: "(d) single allocations of 103 sizes on 1,500 mixed nodes",
        nodes: 1500,
        machines: MIXED,
        jobs: 5000,
        count: 1,
        shapes: 103,
    },
    Case {
        what: "(e) single allocations on 100,000 nodes",
        nodes: 100_000,
        machines: MIXED,
        jobs: 500,
        count: 1,
        shapes: 103,
    },
];

/// Runs the benchmark.
pub(crate) fn run(bench: &Bench, _: &Runtime) -> Result<Table, String> {
    let mut table = Table::default();
    for case in CASES {
        let mut decided = Row::rate(format!("{}, decided", case.what), "/s");
        let mut applied = Row::rate(format!("{}, decided and applied", case.what), "/s");
        let empty = fleet(case);
        for _ in 0..bench.rounds {
            let limit = tournament::per_second(case.nodes, bench.size(case.jobs * case.count as usize));
            let (deciding, applying, placed) = place_all(case, empty.clone(), bench.size(case.jobs))?;
            decided.add_with(placed as f64 / deciding, limit);
            applied.add_with(placed as f64 / (deciding + applying), limit);
        }
        table.push(decided);
        table.push(applied);
    }
    table.note("One thread. Every job is decided by itself, from a snapshot that shows the ones before it. Decided: facts in, plan with its reasons out. Applied: with the state's own checks and events.");
    table.note("Limit probe: a tournament tree over the same number of nodes in two plain arrays, which gives the best fit and nothing else.");
    Ok(table)
}

/// Makes a state with the nodes of a case and nothing on them.
fn fleet(case: &Case) -> State {
    let mut state = State::default();
    let begin = Kind::BeginReign { server: ServerId(1), boot_nonce: 1, incarnation: Incarnation(1) };
    apply(&mut state, begin);
    for number in 0..case.nodes {
        let (cpu, megabytes) = case.machines[number % case.machines.len()];
        let capacity = Resources { cpu_millis: cpu, memory_bytes: megabytes << 20 };
        let identity = NodeIdentity { capacity, ..machine(number) };
        apply(&mut state, Kind::RegisterNode { identity, held: vec![], seen: None });
    }
    state
}

fn apply(state: &mut State, kind: Kind) -> Outcome {
    state.apply(Command::own(state.now, kind)).outcome
}

/// Submits the jobs of a case and places each; returns the seconds of deciding and of applying, and how many were placed.
fn place_all(case: &Case, mut state: State, jobs: usize) -> Result<(f64, f64, usize), String> {
    let keys: Vec<JobKey> = (0..jobs).map(|number| submit(&mut state, job(case, number))).collect();
    let reign = state.reign.ok_or("the reign has not begun")?.reign;
    let (mut deciding, mut applying) = (0.0, 0.0);
    for key in &keys {
        // As the server has it: somebody holds the state that is decided on.
        let seen = state.clone();
        let begun = Instant::now();
        let decision = schedule(&seen, std::slice::from_ref(key), seen.now);
        deciding += begun.elapsed().as_secs_f64();
        let plan = Plan { reign, seq: state.last_plan_seq + 1, ..decision.plan };
        let begun = Instant::now();
        let outcome = apply(&mut state, Kind::ApplyPlan(plan));
        applying += begun.elapsed().as_secs_f64();
        match outcome {
            Outcome::Planned { refused } if refused.is_empty() => {}
            other => return Err(format!("a plan was refused: {other:?}").chars().take(300).collect()),
        }
    }
    let placed = state.allocs.len();
    if placed != jobs * case.count as usize {
        return Err(format!("{placed} of {} were placed", jobs * case.count as usize));
    }
    Ok((deciding, applying, placed))
}

fn submit(state: &mut State, job: Job) -> JobKey {
    let key = job.key.clone();
    apply(state, Kind::PutJob { job: Box::new(job), expected: None, message: String::new() });
    key
}

fn job(case: &Case, number: usize) -> Job {
    let job =
        service(&format!("job-{number}"), case.count, "/bin/true", &[], std::time::Duration::from_secs(1));
    let shape = (number % case.shapes) as u64;
    sized(job, Resources { cpu_millis: 50 + shape * 7, memory_bytes: (30 + shape * 11) << 20 })
}
