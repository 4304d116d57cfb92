//! The agent's view of time: the machine's clocks, or in a test the runtime's own, which can be paused.

use std::time::Duration;

use proto::time::{BootTime, Timestamp};
use tokio::time::Instant;

use crate::core::task_machine::Now;

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
    /// Returns both clocks.
    #[must_use]
    pub fn now(self) -> Now {
        match self {
            Self::Machine => Now { boot: proto::time::boottime(), wall: proto::time::now() },
            Self::Runtime { start } => {
                let passed = start.elapsed();
                Now {
                    boot: BootTime(3_600_000).plus(passed),
                    wall: Timestamp(1_700_000_000_000).plus(passed),
                }
            }
        }
    }

    /// Waits until then. Cancel safe.
    pub async fn sleep_until(self, at: BootTime) {
        loop {
            let left = at.since(self.now().boot);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(NAP_MAX)).await;
        }
    }
}
