//! How far a transfer is, for a person who waits for it.

use std::io::{IsTerminal as _, Write as _};

use proto::time::{BootTime, boottime};

use crate::args::Global;
use crate::limits;
use crate::output::size;

/// A line on the terminal that is written over and over; nothing elsewhere.
pub(super) struct Progress {
    shown: bool,
    verb: &'static str,
    done: u64,
    all: Option<u64>,
    last: BootTime,
}

impl Progress {
    /// Begins; `all` is how many bytes there will be, if that is known.
    pub fn new(global: &Global, verb: &'static str, all: Option<u64>) -> Self {
        let shown = std::io::stderr().is_terminal() && !global.json;
        Self { shown, verb, done: 0, all, last: boottime() }
    }

    /// Counts bytes that are through.
    pub fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        let now = boottime();
        if self.shown && now.since(self.last) >= limits::REDRAW {
            self.last = now;
            let all = self.all.map(|all| format!(" of {}", size(all))).unwrap_or_default();
            // The line is erased behind the text; a terminal that has gone is no reason to stop.
            let _ = write!(std::io::stderr(), "\r{} {}{all}\x1b[K", self.verb, size(self.done));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
