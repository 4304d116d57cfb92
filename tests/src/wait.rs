//! Waiting for a state, never for time: with a deadline, a message, and the last state seen.

use std::time::{Duration, Instant};

/// Looks every few milliseconds until `look` gives a value, and returns it.
///
/// # Panics
/// When `at_most` is over: with `what` and the last thing that `look` said instead.
pub fn until<T>(at_most: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) => {
                assert!(begin.elapsed() < at_most, "not within {at_most:?}: {what}; last seen: {seen}");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// The slack that a test allows where the promise is about seconds: these machines are small and shared.
pub const SOON: Duration = Duration::from_secs(20);
