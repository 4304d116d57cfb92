//! The two clocks as plain milliseconds, the form in which the keeper's messages carry them.

/// Returns milliseconds since boot, suspend included.
pub fn boot_ms() -> u64 {
    proto::time::boottime().0
}

/// Returns milliseconds since 1970 by the wall clock, which may jump.
pub fn wall_ms() -> u64 {
    proto::time::now().0
}
