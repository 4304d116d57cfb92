//! What an attempt used, from the counters of its groups, read when somebody asks. Where no group counts, its living
//! processes are added up.

use std::fs;

use super::{Groups, Hierarchy};
use crate::keeper::message::Usage;

impl Groups {
    /// Measures a slot, whose processes are `members`.
    pub(in crate::keeper) fn usage(&self, slot: u64, members: &[u32]) -> Usage {
        let counted = self.counted(slot);
        let sum =
            |key| (!members.is_empty()).then(|| members.iter().filter_map(|&pid| resident(pid, key)).sum());
        let spent = || (!members.is_empty()).then(|| members.iter().filter_map(|&pid| cpu_us(pid)).sum());
        Usage {
            memory_bytes: counted.memory_bytes.or_else(|| sum("VmRSS:")),
            memory_peak_bytes: counted.memory_peak_bytes.or_else(|| sum("VmHWM:")),
            cpu_us: counted.cpu_us.or_else(spent),
            processes: members.len() as u32,
        }
    }

    fn counted(&self, slot: u64) -> Usage {
        let mut found = Usage::default();
        for hierarchy in &self.hierarchies {
            let group = self.group(hierarchy, slot);
            let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
            let keyed = |name: &str, key| field(&fs::read_to_string(group.join(name)).ok()?, key);
            // What could be dropped at once is not what it needs.
            let working = |all: u64, key| all.saturating_sub(keyed("memory.stat", key).unwrap_or(0));
            if hierarchy.v2 {
                found.memory_bytes = number("memory.current").map(|all| working(all, "inactive_file"));
                found.memory_peak_bytes = number("memory.peak");
                found.cpu_us = keyed("cpu.stat", "usage_usec");
                continue;
            }
            if found.memory_bytes.is_none() && hierarchy.has("memory") {
                let all = number("memory.usage_in_bytes");
                found.memory_bytes = all.map(|all| working(all, "total_inactive_file"));
                found.memory_peak_bytes = number("memory.max_usage_in_bytes");
            }
            if found.cpu_us.is_none() && hierarchy.has("cpuacct") {
                found.cpu_us = number("cpuacct.usage").map(|ns| ns / 1000);
            }
        }
        found
    }

    /// How many processes of the slot the kernel has killed for memory, of its own or of the whole machine. A slot has its
    /// groups for itself, so this has begun at zero with it. None where its memory is not counted.
    pub(in crate::keeper) fn oom_kills(&self, slot: u64) -> Option<u64> {
        let file = |one: &Hierarchy| match one.v2 {
            true => Some("memory.events"),
            false => one.has("memory").then_some("memory.oom_control"),
        };
        let counts = |one: &Hierarchy| fs::read_to_string(self.group(one, slot).join(file(one)?)).ok();
        self.hierarchies.iter().find_map(|one| field(&counts(one)?, "oom_kill"))
    }
}

/// Returns the number beside `key`.
fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Bytes behind a key of `/proc/PID/status`.
fn resident(pid: u32, key: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// CPU time of a process and of those of its children that it has reaped.
fn cpu_us(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks: u64 = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(ticks * 1_000_000 / rustix::param::clock_ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        assert_eq!(field("low 0\noom 3\noom_kill 2\noom_group_kill 0\n", "oom_kill"), Some(2));
        assert_eq!(field("total_inactive_file 9\n", "inactive_file"), None);
    }

    #[test]
    fn without_groups_the_living_processes_are_added_up() {
        let usage = Groups::none().usage(1, &[std::process::id()]);
        assert!(
            usage.memory_bytes > Some(100 << 10) && usage.memory_peak_bytes >= usage.memory_bytes,
            "{usage:?}"
        );
        assert!(usage.cpu_us.is_some() && usage.processes == 1);
        assert_eq!(Groups::none().usage(1, &[]), Usage::default());
        assert_eq!(Groups::none().oom_kills(1), None);
    }
}
