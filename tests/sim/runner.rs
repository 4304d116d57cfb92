//! Runs many seeds, and tells the end of one that fails.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::planted::Bug;
use crate::sim::{Broken, Sim};

/// Lines of the story that are shown.
const SHOWN: usize = 50;
/// Seeds that are run unless somebody asks for another number.
const SEEDS: u64 = 1000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Runs one seed with a mistake in it.
fn run(seed: u64, bug: Bug) -> Option<Broken> {
    Sim::new(seed, bug, false).run()
}

/// Runs a seed again, and returns the end of its story.
fn tell(seed: u64, bug: Bug, lines: usize) -> String {
    let mut sim = Sim::new(seed, bug, true);
    sim.run();
    let story = &sim.trace.lines;
    story[story.len().saturating_sub(lines)..].join("\n")
}

#[test]
fn a_thousand_lives_break_no_promise() {
    if let Some(seed) = number("MJ_SIM_SEED") {
        let broken = run(seed, Bug::None);
        eprintln!("{}", tell(seed, Bug::None, usize::MAX));
        assert_eq!(broken, None, "seed {seed}");
        return;
    }
    let seeds = number("MJ_SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let failed: Mutex<Vec<(u64, Broken)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    if let Some(broken) = run(seed, Bug::None) {
                        failed.lock().unwrap().push((seed, broken));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|(seed, _)| *seed);
    if let Some((seed, broken)) = failed.first() {
        let all: Vec<String> =
            failed.iter().map(|(seed, broken)| format!("{seed}: {}", broken.law)).collect();
        panic!(
            "seed {seed} breaks {}: {}\n{}\n{} of {seeds} seeds fail: {}\nagain: MJ_SIM_SEED={seed} cargo test -p tests --test sim a_thousand_lives -- --nocapture",
            broken.law,
            broken.what,
            tell(*seed, Bug::None, SHOWN),
            failed.len(),
            all.join(", "),
        );
    }
}

/// Each mistake, and the promise that notices.
const PLANTED: &[(Bug, &str)] = &[
    (Bug::OverCommit, "i1_capacity"),
    (Bug::EarlyAcknowledgement, "i9_acknowledged"),
    (Bug::ReusedIds, "never_twice"),
    (Bug::AbsenceIsAStop, "i5_absence"),
    (Bug::RestartOfStopped, "i3_forward"),
    (Bug::ForgottenRequests, "i9_acknowledged"),
    (Bug::ReplayedTwice, "i6_determinism"),
    (Bug::SessionsOutliveReigns, "reigns"),
    (Bug::AnyReign, "reigns"),
];

/// Lives in which a mistake must show.
const ENOUGH: u64 = 100;

#[test]
fn every_planted_mistake_is_noticed_by_the_promise_that_it_breaks() {
    for (bug, law) in PLANTED {
        let mut lives = (0..ENOUGH).filter_map(|seed| Some((seed, run(seed, *bug)?)));
        let Some((seed, broken)) = lives.find(|(_, broken)| broken.law == *law) else {
            panic!("{bug:?} is not noticed by {law} in {ENOUGH} lives");
        };
        assert_eq!(Sim::new(seed, *bug, true).run(), Some(broken), "seed {seed} ends alike when it is told");
    }
}
