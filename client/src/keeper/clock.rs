//! The two clocks of the keeper: boot time for what must happen, wall time for what people read.

/// Returns milliseconds since boot, suspend included (`CLOCK_BOOTTIME`).
pub fn boot_ms() -> u64 {
    read(libc::CLOCK_BOOTTIME)
}

/// Returns milliseconds since 1970 by the wall clock, which may jump.
pub fn wall_ms() -> u64 {
    read(libc::CLOCK_REALTIME)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the duration of the call.
    let failed = unsafe { libc::clock_gettime(clock, &mut time) } != 0;
    // Both clocks exist since Linux 2.6.39; zero would only mean "long ago".
    if failed { 0 } else { (time.tv_sec as u64) * 1000 + (time.tv_nsec as u64) / 1_000_000 }
}
