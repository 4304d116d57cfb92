//! What an attempt used, from the counters of its groups, read when somebody asks. Where no group counts, its living
//! processes are added up.

use std::fs;
use std::path::PathBuf;

use super::Groups;
use crate::keeper::message::Usage;

impl Groups {
    /// Measures a slot, whose processes are `members`.
    pub(in crate::keeper) fn usage(&self, slot: u64, members: &[u32]) -> Usage {
        let groups: Vec<PathBuf> = self.hierarchies.iter().map(|one| self.group(one, slot)).collect();
        let number = |names: [&str; 2]| {
            let files = groups.iter().flat_map(|group| names.map(|name| group.join(name)));
            files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()).next()
        };
        let keyed = |names: [&str; 2], keys: [&str; 2]| {
            let files = groups.iter().flat_map(|group| names.map(|name| group.join(name)));
            files.filter_map(|file| field(&fs::read_to_string(file).ok()?, keys)).next()
        };
        let stat = ["memory.stat", "memory.stat"];
        let cache = || keyed(stat, ["total_inactive_file", "inactive_file"]).unwrap_or(0);
        let memory =
            number(["memory.current", "memory.usage_in_bytes"]).map(|all| all.saturating_sub(cache()));
        let peak = number(["memory.peak", "memory.max_usage_in_bytes"]);
        let cpu = keyed(["cpu.stat", "cpu.stat"], ["usage_usec", "usage_usec"])
            .or_else(|| number(["cpuacct.usage", "cpuacct.usage"]).map(|ns| ns / 1000));
        let sum =
            |key| (!members.is_empty()).then(|| members.iter().filter_map(|&pid| resident(pid, key)).sum());
        Usage {
            memory_bytes: memory.or_else(|| sum("VmRSS:")),
            memory_peak_bytes: peak.or_else(|| sum("VmHWM:")),
            cpu_us: cpu.or_else(|| {
                (!members.is_empty()).then(|| members.iter().filter_map(|&pid| cpu_us(pid)).sum())
            }),
            processes: members.len() as u32,
        }
    }

    /// How many processes of the slot the kernel has killed for memory, of its own or of the whole machine. A slot has its
    /// groups for itself, so this has begun at zero with it. None where its memory is not counted.
    pub(in crate::keeper) fn oom_kills(&self, slot: u64) -> Option<u64> {
        let files = ["memory.events", "memory.oom_control"];
        let all = self.hierarchies.iter().flat_map(|one| files.map(|file| self.group(one, slot).join(file)));
        all.filter_map(|file| field(&fs::read_to_string(file).ok()?, ["oom_kill", "oom_kill"])).next()
    }
}

/// Returns the number beside the first of `keys` that is there.
fn field(text: &str, keys: [&str; 2]) -> Option<u64> {
    let find =
        |key| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok());
    keys.into_iter().find_map(find)
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
        let events = "low 0\noom 3\noom_kill 2\noom_group_kill 0\n";
        assert_eq!(field(events, ["oom_kill", "oom_kill"]), Some(2));
        assert_eq!(field("cache 7\n", ["total_inactive_file", "inactive_file"]), None);
        assert_eq!(
            field("inactive_file 5\ntotal_inactive_file 9\n", ["total_inactive_file", "inactive_file"]),
            Some(9)
        );
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
