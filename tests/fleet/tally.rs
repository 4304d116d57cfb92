//! What happened, in figures.

use std::time::{Duration, Instant};

use server::core::state::State;

use crate::fleet::{DAY, Size};

pub struct Tally {
    began: Instant,
    pub deciding: Duration,
    pub commands: u64,
    pub decisions: u64,
    pub jobs_looked_at: u64,
    pub placements: u64,
    pub stops: u64,
    pub jobs: u64,
    pub changes: u64,
    pub scalings: u64,
    pub completions: u64,
    pub failures: u64,
    pub losses: u64,
    pub flaps: u64,
    pub returns: u64,
    pub cordons: u64,
    pub looks: u64,
    pub most_waiting: u64,
    pub most_live: usize,
    peak_bytes: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            deciding: Duration::ZERO,
            commands: 0,
            decisions: 0,
            jobs_looked_at: 0,
            placements: 0,
            stops: 0,
            jobs: 0,
            changes: 0,
            scalings: 0,
            completions: 0,
            failures: 0,
            losses: 0,
            flaps: 0,
            returns: 0,
            cordons: 0,
            looks: 0,
            most_waiting: 0,
            most_live: 0,
            peak_bytes: 0,
        }
    }
}

impl Tally {
    pub fn must_have_happened(&self) -> [(&'static str, u64); 10] {
        [
            ("placements", self.placements),
            ("stops", self.stops),
            ("changes", self.changes),
            ("scalings", self.scalings),
            ("completions", self.completions),
            ("failures", self.failures),
            ("losses of nodes", self.losses),
            ("returns of nodes", self.returns),
            ("flaps", self.flaps),
            ("cordons", self.cordons),
        ]
    }

    /// Takes in how much memory this process has had at most.
    pub fn note_memory(&mut self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        self.peak_bytes = kib.unwrap_or_default() << 10;
    }

    /// Says how far it is, for who waits.
    pub fn brief(&self) -> String {
        let Self { placements, losses, began, .. } = self;
        format!(
            "{placements} placements, {losses} losses of nodes, after {:.0} s",
            began.elapsed().as_secs_f64()
        )
    }

    pub fn told(&self, state: &State, size: Size) -> String {
        let real = self.began.elapsed().as_secs_f64();
        let deciding = self.deciding.as_secs_f64();
        [
            format!(
                "{} nodes, at most {} allocations, {} days in {real:.1} s ({deciding:.1} s of it deciding)",
                state.nodes.len(),
                self.most_live,
                size.ms / DAY
            ),
            format!(
                "{} commands; {} decisions on {} jobs; {} placements, {:.0} per second of deciding; {} stops",
                self.commands,
                self.decisions,
                self.jobs_looked_at,
                self.placements,
                self.placements as f64 / deciding,
                self.stops
            ),
            format!(
                "{} submissions, {} changes, {} scalings; {} completions, {} failures",
                self.jobs, self.changes, self.scalings, self.completions, self.failures
            ),
            format!(
                "{} losses of nodes ({} flaps), {} returns, {} cordons; {} looks at all laws, at most {} waited",
                self.losses, self.flaps, self.returns, self.cordons, self.looks, self.most_waiting
            ),
            format!("peak memory {} MiB", self.peak_bytes >> 20),
        ]
        .join("\n")
    }
}
