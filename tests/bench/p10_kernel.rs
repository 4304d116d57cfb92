//! P10, the scheduler's kernel alone: a state in this process, decisions with the shipped scheduler, and the plans applied to it.

use proto::ids::JobKey;
use proto::model::{Job, NodeIdentity, Resources, Spread};
use server::core::state::State;
use tests::kernel::{Kernel, machine, service};
use tokio::runtime::Runtime;

use crate::report::{Row, Table};
use crate::{Bench, tournament};

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
    /// An expression that must hold on a node.
    constraint: Option<&'static str>,
    /// Whether they are spread over the racks.
    is_spread: bool,
}

/// Racks of a fleet that has some: its machines are in them in turn.
const RACKS: usize = 25;
/// Holds on nine machines of ten.
const MOST: &str = "meta.tier != 'old'";

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
        constraint: None,
        is_spread: false,
    },
    Case {
        what: "(b) the same with a constraint",
        nodes: 5000,
        machines: ALIKE,
        jobs: 20,
        count: 1000,
        shapes: 1,
        constraint: Some(MOST),
        is_spread: false,
    },
    Case {
        what: "(c) 4 jobs x 300 with a spread over 25 racks and a constraint on 5,000 nodes",
        nodes: 5000,
        machines: ALIKE,
        jobs: 4,
        count: 300,
        shapes: 1,
        constraint: Some(MOST),
        is_spread: true,
    },
    Case {
        what: "(d) single allocations of 103 sizes on 1,500 mixed nodes",
        nodes: 1500,
        machines: MIXED,
        jobs: 5000,
        count: 1,
        shapes: 103,
        constraint: None,
        is_spread: false,
    },
    Case {
        what: "(e) single allocations on 100,000 nodes",
        nodes: 100_000,
        machines: MIXED,
        jobs: 500,
        count: 1,
        shapes: 103,
        constraint: None,
        is_spread: false,
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
    Kernel::with((0..case.nodes).map(|number| node(case, number))).state
}

fn node(case: &Case, number: usize) -> NodeIdentity {
    let (cpu_millis, megabytes) = case.machines[number % case.machines.len()];
    let mut node = machine(number, Resources { cpu_millis, memory_bytes: megabytes << 20 });
    if case.constraint.is_some() {
        let tier = if number.is_multiple_of(10) { "old" } else { "new" };
        node.attributes.insert("meta.tier".to_owned(), tier.to_owned());
        node.attributes.insert("meta.rack".to_owned(), format!("rack-{}", number % RACKS));
    }
    node
}

/// Submits the jobs of a case and places each; returns the seconds of deciding and of applying, and how many were placed.
fn place_all(case: &Case, state: State, jobs: usize) -> Result<(f64, f64, usize), String> {
    let mut kernel = Kernel::on(state);
    let keys: Vec<JobKey> = (0..jobs).map(|number| kernel.submit(job(case, number))).collect();
    for key in &keys {
        kernel.place(key)?;
    }
    let placed = kernel.state.allocs.len();
    if placed != jobs * case.count as usize {
        return Err(format!("{placed} of {} were placed", jobs * case.count as usize));
    }
    Ok((kernel.deciding.as_secs_f64(), kernel.applying.as_secs_f64(), placed))
}

fn job(case: &Case, number: usize) -> Job {
    let shape = (number % case.shapes) as u64;
    let resources = Resources { cpu_millis: 50 + shape * 7, memory_bytes: (30 + shape * 11) << 20 };
    let mut job = service(&format!("job-{number}"), case.count, resources);
    for group in job.groups.values_mut() {
        group.placement.constraints.extend(case.constraint.map(str::to_owned));
        if case.is_spread {
            let racks = Spread { over: "meta.rack".to_owned(), weight: 50, targets: Default::default() };
            group.placement.spread.push(racks);
        }
    }
    job
}
