//! Measures minijob against the limits of this machine, in interleaved rounds, and writes the tables of docs/performance.md.
//!
//! `tests/bench/run [p1..p13|all] [--rounds N] [--quick] [--large] [--force] [--no-write]`. A figure is a comparison within one run: no
//! absolute time is ever asserted here.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

mod agents;
mod calibrate;
mod control;
mod etcd;
mod field;
mod machine;
mod meter;
mod p10_kernel;
mod p11_packing;
mod p12_statuses;
mod p13_idle;
mod p1_peers;
mod p1_start;
mod p2_peers;
mod p2_restart;
mod p3_density;
mod p4_footprint;
mod p5_placement;
mod p6_writes;
mod p9_placements;
mod peers;
mod probe;
mod report;
mod rig;
mod simulated;
mod stamps;
mod tools;
mod tournament;
mod way;
mod world;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use report::Table;
use tools::Tools;

/// Exit code when the machine is too noisy to measure on.
const TOO_NOISY: u8 = 3;
/// Fewer rounds say nothing about how much a figure varies.
const ROUNDS_LEAST: usize = 5;

/// What every benchmark is given.
pub(crate) struct Bench {
    /// Rounds; in each, everything that is compared takes its turn.
    pub(crate) rounds: usize,
    /// A tenth of everything: to see that a benchmark runs, never to be reported.
    pub(crate) quick: bool,
    /// Also what takes many minutes.
    pub(crate) large: bool,
    /// The compiled helpers.
    pub(crate) tools: Tools,
}

impl Bench {
    /// Returns a number, or a tenth of it.
    pub(crate) fn size(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(10) } else { full }
    }

    /// Returns a time, or a tenth of it.
    pub(crate) fn span(&self, full: std::time::Duration) -> std::time::Duration {
        if self.quick { full / 10 } else { full }
    }
}

type Run = fn(&Bench, &tokio::runtime::Runtime) -> Result<Table, String>;

const ALL: &[(&str, Run)] = &[
    ("p1", p1_start::run),
    ("p2", p2_restart::run),
    ("p3", p3_density::run),
    ("p4", p4_footprint::run),
    ("p5", p5_placement::run),
    ("p6", p6_writes::run),
    ("p7", field::nodes),
    ("p8", field::leaders),
    ("p9", p9_placements::run),
    ("p10", p10_kernel::run),
    ("p11", p11_packing::run),
    ("p12", p12_statuses::run),
    ("p13", p13_idle::run),
];

/// Benchmarks without a time in their figures: no noise changes them, so that they are run and reported on any machine.
const TIMELESS: &[&str] = &["p11"];

struct Args {
    which: Vec<&'static (&'static str, Run)>,
    rounds: usize,
    quick: bool,
    large: bool,
    force: bool,
    write: bool,
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(message) => {
            eprintln!(
                "{message}\nusage: tests/bench/run [p1..p13|all] [--rounds N] [--quick] [--large] [--force] [--no-write]"
            );
            return ExitCode::from(2);
        }
    };
    let any_time = args.which.iter().any(|(name, _)| !TIMELESS.contains(name));
    let variation = calibrate::variation_percent();
    println!("calibration: the slowest lap took {variation:.1} % longer than the fastest");
    if any_time && variation > calibrate::TOLERATED_PERCENT && !args.force {
        println!(
            "more than {:.0} %: this machine is too noisy, nothing is measured (--force measures, and marks the tables)",
            calibrate::TOLERATED_PERCENT
        );
        return ExitCode::from(TOO_NOISY);
    }
    match measure(args, variation) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs every benchmark that was asked for; one that fails does not keep the others from running. Returns whether none failed.
fn measure(args: Args, at_first: f64) -> Result<bool, String> {
    let bench = Bench { rounds: args.rounds, quick: args.quick, large: args.large, tools: Tools::compile()? };
    // A client needs one thread, the simulated agents the other core.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("performance.md");
    let mut all_well = true;
    for &(name, run) in args.which {
        // The machine may have become noisy since.
        let is_timeless = TIMELESS.contains(&name);
        let variation = (!is_timeless).then(|| calibrate::variation_percent().max(at_first));
        let begun = Instant::now();
        println!("\n== {name}");
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&bench, &runtime)));
        let result = result.unwrap_or_else(|_| Err("it panicked".to_owned()));
        let table = match result {
            Ok(table) => table.markdown(&machine::line(variation, args.rounds, args.quick)),
            Err(message) => {
                println!("{name} failed: {message}");
                all_well = false;
                continue;
            }
        };
        println!("{table}\n({name} took {:.0} s)", begun.elapsed().as_secs_f64());
        if args.write && !args.quick && args.rounds >= ROUNDS_LEAST {
            report::write_into(&document, name, &table)?;
        } else {
            println!("not written to docs/performance.md");
        }
    }
    Ok(all_well)
}

fn parse(given: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut args = Args {
        which: Vec::new(),
        rounds: ROUNDS_LEAST,
        quick: false,
        large: false,
        force: false,
        write: true,
    };
    let mut given = given;
    while let Some(word) = given.next() {
        match word.as_str() {
            "--rounds" => {
                let count = given.next().and_then(|count| count.parse().ok()).filter(|count| *count > 0);
                args.rounds = count.ok_or("--rounds needs a number")?;
            }
            "--quick" => args.quick = true,
            "--large" => args.large = true,
            "--force" => args.force = true,
            "--no-write" => args.write = false,
            "all" => args.which = ALL.iter().collect(),
            name => {
                let known = ALL.iter().find(|(known, _)| *known == name);
                args.which.push(known.ok_or_else(|| format!("unknown argument {name}"))?);
            }
        }
    }
    if args.which.is_empty() {
        args.which = ALL.iter().collect();
    }
    Ok(args)
}
