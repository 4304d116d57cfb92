//! What the kernel says of this process, under the names that Prometheus uses for every program.

use std::fmt::{self, Write};
use std::fs;

/// Writes memory and open descriptors; what the kernel does not tell is left out.
pub(super) fn encode(out: &mut String) -> fmt::Result {
    if let Some(bytes) = resident_bytes() {
        gauge(out, "process_resident_memory_bytes", "Resident memory", bytes)?;
    }
    if let Some(count) = open_descriptors() {
        gauge(out, "process_open_fds", "Open file descriptors", count)?;
    }
    Ok(())
}

fn gauge(out: &mut String, name: &str, help: &str, value: u64) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}")
}

fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn open_descriptors() -> Option<u64> {
    // One of them is the directory that is being read.
    fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_descriptors() {
        let mut out = String::new();
        encode(&mut out).expect("a string takes all");
        let value = |name: &str| {
            let line = out.lines().find(|line| line.starts_with(name)).expect(name);
            line.rsplit(' ').next().and_then(|number| number.parse::<u64>().ok()).expect("a number")
        };
        assert!(value("process_resident_memory_bytes ") > 1 << 20);
        assert!(value("process_open_fds ") >= 3);
    }
}
