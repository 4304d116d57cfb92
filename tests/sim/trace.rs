//! What happened, for people: kept in full when one seed is looked at, its end when a seed fails.

use std::fmt::Arguments;

/// The story of one run.
#[derive(Debug, Default)]
pub struct Trace {
    /// Off: nothing is written, because writing costs more than the run.
    pub on: bool,
    /// The lines so far.
    pub lines: Vec<String>,
}

impl Trace {
    /// Adds a line.
    pub fn add(&mut self, now: u64, text: Arguments<'_>) {
        if self.on {
            self.lines.push(format!("{:>8.3} {text}", now as f64 / 1000.0));
        }
    }
}
