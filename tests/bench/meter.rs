//! What is read off the kernel: the clock, the CPU time and the memory of processes.

use std::path::PathBuf;

/// Returns CLOCK_MONOTONIC in nanoseconds, as measured tasks read it.
pub(crate) fn now_ns() -> u64 {
    read_clock(libc::CLOCK_MONOTONIC).unwrap_or(0)
}

/// Returns the CPU time that processes have used, all their threads together, in nanoseconds. Those that are not there count nothing.
pub(crate) fn cpu_ns(pids: &[u32]) -> u64 {
    pids.iter().filter_map(|pid| cpu_clock(*pid)).filter_map(read_clock).sum()
}

/// Returns the CPU time of the calling thread in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    read_clock(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or(0)
}

/// Returns the CPU time of all children that have ended and were waited for, in nanoseconds.
pub(crate) fn children_cpu_ns() -> u64 {
    let micros = |time: nix::sys::time::TimeVal| (time.tv_sec() * 1_000_000 + time.tv_usec()) as u64;
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN);
    usage.map_or(0, |usage| (micros(usage.user_time()) + micros(usage.system_time())) * 1000)
}

/// Resident memory and its proportional share, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Pages that are in memory, shared ones too.
    pub(crate) rss: u64,
    /// The same, each shared page divided by the processes that share it.
    pub(crate) pss: u64,
}

/// Returns the memory of processes, added up.
pub(crate) fn memory(pids: &[u32]) -> Memory {
    pids.iter().fold(Memory::default(), |sum, pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let bytes = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        Memory { rss: sum.rss + bytes("Rss:"), pss: sum.pss + bytes("Pss:") }
    })
}

/// Returns the threads of processes, added up.
pub(crate) fn threads(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse::<u64>().ok())
    };
    pids.iter().filter_map(of).sum()
}

/// Returns the processes that run a program and mention a text.
pub(crate) fn running(program: &std::path::Path, mentioning: &std::path::Path) -> Vec<u32> {
    let program = program.canonicalize().unwrap_or_else(|_| PathBuf::from(program));
    let mut pids = ::tests::process::mentioning(mentioning);
    pids.retain(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program));
    pids
}

fn cpu_clock(pid: u32) -> Option<libc::clockid_t> {
    let mut clock = 0;
    // SAFETY: the pointer is to a local that the call fills.
    let failed = unsafe { libc::clock_getcpuclockid(pid as i32, &raw mut clock) };
    (failed == 0).then_some(clock)
}

fn read_clock(clock: libc::clockid_t) -> Option<u64> {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local that the call fills.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut at) };
    (failed == 0).then_some(at.tv_sec as u64 * 1_000_000_000 + at.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let me = [std::process::id()];
        assert!(cpu_ns(&me) > 0 && now_ns() > 0);
        let memory = memory(&me);
        assert!(memory.rss >= memory.pss && memory.pss > 0, "{memory:?}");
        // One more than Linux ever gives out: a process that has just ended may still be asked, and its number be given again.
        assert_eq!(cpu_ns(&[(1 << 22) + 1]), 0, "who is not there counts nothing");
    }
}
