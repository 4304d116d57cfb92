//! A small piece of the scheduler's work, always the same, whose instructions `tests/ratchet/run` counts. `ratchet a`: case a.
//!
//! Nothing here reads a clock for a decision, draws a random number or iterates in the order of addresses: two runs of one build
//! execute the same instructions, but for a few of the C library's.

use std::hint::black_box;
use std::process::ExitCode;

use proto::ids::JobKey;
use proto::model::{Affinity, Job, Resources, Spread};
use tests::kernel::{Kernel, machine, service};

/// Machines.
const MACHINES: usize = 200;
/// Placements of a case.
const PLACEMENTS: usize = 500;

/// What one case asks: how many jobs with how many allocations each, and what of nodes.
struct Case {
    name: &'static str,
    jobs: usize,
    ask: fn(&mut Job),
}

const CASES: &[Case] = &[
    Case { name: "a", jobs: 2, ask: |_| {} },
    Case { name: "b", jobs: 2, ask: constrain },
    Case { name: "c", jobs: 5, ask: constrain_and_spread },
    Case { name: "d", jobs: PLACEMENTS, ask: |_| {} },
    Case { name: "e", jobs: PLACEMENTS, ask: prefer },
];

fn main() -> ExitCode {
    let named = std::env::args().nth(1).unwrap_or_default();
    let Some(case) = CASES.iter().find(|case| case.name == named) else {
        eprintln!("usage: ratchet a|b|c|d|e");
        return ExitCode::from(2);
    };
    let (mut kernel, keys) = prepared(case);
    match ratchet_counted(&mut kernel, &keys) {
        Ok(PLACEMENTS) => ExitCode::SUCCESS,
        Ok(placed) => {
            eprintln!("{placed} of {PLACEMENTS} were placed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What is counted: decisions and the plans applied. Its name is how the counter finds it.
#[inline(never)]
#[unsafe(no_mangle)]
fn ratchet_counted(kernel: &mut Kernel, keys: &[JobKey]) -> Result<usize, String> {
    let mut placed = 0;
    for key in keys {
        placed += kernel.place(key)?;
    }
    Ok(black_box(placed))
}

fn prepared(case: &Case) -> (Kernel, Vec<JobKey>) {
    let mut kernel = fleet();
    let count = (PLACEMENTS / case.jobs) as u32;
    let submit = |number: usize| {
        let shape = (number % 103) as u64;
        let resources = Resources { cpu_millis: 50 + shape * 7, memory_bytes: (30 + shape * 11) << 20 };
        let mut job = service(&format!("job-{number}"), count, resources);
        (case.ask)(&mut job);
        kernel.submit(job)
    };
    let keys = (0..case.jobs).map(submit).collect();
    (kernel, keys)
}

fn fleet() -> Kernel {
    let sizes = [(16_000, 32), (16_000, 64), (32_000, 64), (64_000, 256)];
    Kernel::with((0..MACHINES).map(|number| {
        let (cpu_millis, gigabytes) = sizes[number % sizes.len()];
        let mut node = machine(number, Resources { cpu_millis, memory_bytes: gigabytes << 30 });
        node.attributes.insert("meta.rack".to_owned(), format!("rack-{}", number % 10));
        node
    }))
}

fn constrain(job: &mut Job) {
    each_placement(job, |placement| placement.constraints.push("meta.rack != 'rack-0'".to_owned()));
}

fn constrain_and_spread(job: &mut Job) {
    constrain(job);
    let racks = Spread { over: "meta.rack".to_owned(), weight: 50, targets: Default::default() };
    each_placement(job, |placement| placement.spread.push(racks.clone()));
}

fn prefer(job: &mut Job) {
    let preferred = Affinity { when: "meta.rack == 'rack-1'".to_owned(), weight: 10 };
    each_placement(job, |placement| placement.affinities.push(preferred.clone()));
}

fn each_placement(job: &mut Job, change: impl Fn(&mut proto::model::Placement)) {
    job.groups.values_mut().for_each(|group| change(&mut group.placement));
}
