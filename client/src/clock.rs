//! The agent's view of time: the machine's clocks, or in a test the runtime's own, which can be paused.

use std::time::Duration;

use proto::time::{BootTime, Timestamp};
use tokio::time::Instant;

/// Longest single sleep. The runtime's timers do not count suspend, time since boot does: after a suspend a delay that
/// has passed meanwhile is noticed this late at most.
const NAP_MAX: Duration = Duration::from_secs(10);

/// Where time comes from.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's clocks.
    Machine,
    /// The runtime's, as if the machine had booted an hour before `start`: for tests with paused time.
    Runtime {
        /// When it was made.
        start: Instant,
    },
}

impl Clock {
    /// Returns the time since boot, for delays.
    #[must_use]
    pub fn boot(self) -> BootTime {
        match self {
            Self::Machine => proto::time::boottime(),
            Self::Runtime { start } => BootTime(3_600_000).plus(start.elapsed()),
        }
    }

    /// Returns the wall time, for people.
    #[must_use]
    pub fn wall(self) -> Timestamp {
        match self {
            Self::Machine => proto::time::now(),
            Self::Runtime { start } => Timestamp(1_700_000_000_000).plus(start.elapsed()),
        }
    }

    /// Waits until then. Cancel safe.
    pub async fn sleep_until(self, at: BootTime) {
        loop {
            let left = at.since(self.boot());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(NAP_MAX)).await;
        }
    }
}
