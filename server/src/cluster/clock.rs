//! The time that a leader puts into commands.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use proto::time::{BootTime, Timestamp};

/// How far the wall clock may run ahead of the time that has passed.
const AHEAD: Duration = Duration::from_secs(1);

/// Wall time, held to the clock that counts the time since boot: it never goes back, and a wall clock that jumps ahead takes it
/// along by at most 1 s. Otherwise a jump would make every delay in the state due at once. A new reign follows the wall again.
#[derive(Debug)]
pub struct Clock {
    anchor: Mutex<Anchor>,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    wall: Timestamp,
    boot: BootTime,
}

impl Clock {
    /// Makes a clock that is not behind state time.
    #[must_use]
    pub fn new(state: Timestamp) -> Self {
        Self { anchor: Mutex::new(Anchor::at(proto::time::now().max(state), proto::time::boottime())) }
    }

    /// Returns the time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let anchor = *self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        anchor.read(proto::time::now(), proto::time::boottime())
    }

    /// Begins a reign: follows the wall clock again, but not behind state time.
    pub fn reset(&self, state: Timestamp) {
        let anchor = Anchor::at(proto::time::now().max(state), proto::time::boottime());
        *self.anchor.lock().unwrap_or_else(PoisonError::into_inner) = anchor;
    }
}

impl Anchor {
    fn at(wall: Timestamp, boot: BootTime) -> Self {
        Self { wall, boot }
    }

    fn read(self, wall: Timestamp, boot: BootTime) -> Timestamp {
        let steady = self.wall.plus(boot.since(self.boot));
        wall.clamp(steady, steady.plus(AHEAD))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_clock_moves_the_time_of_commands_by_a_second_at_most() {
        let anchor = Anchor::at(Timestamp(1_000_000), BootTime(500));
        let later = BootTime(10_500);
        assert_eq!(anchor.read(Timestamp(1_010_000), later), Timestamp(1_010_000));
        assert_eq!(
            anchor.read(Timestamp(1_010_300), later),
            Timestamp(1_010_300),
            "a small step is followed"
        );
        assert_eq!(anchor.read(Timestamp(9_999_999), later), Timestamp(1_011_000));
        assert_eq!(anchor.read(Timestamp(0), later), Timestamp(1_010_000), "never back");
    }
}
