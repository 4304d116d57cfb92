//! When this server last heard a leader.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When this server last heard a leader, and until when it stands back for another candidate. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Hearing(Arc<Mutex<Heard>>);

#[derive(Debug)]
struct Heard {
    leader_at: Instant,
    stands_back_until: Instant,
}

impl Hearing {
    /// The start counts as a sign of life: whoever has just started knows nothing.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(Heard { leader_at: now, stands_back_until: now })))
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The leader has said something.
    pub(crate) fn leader(&self) {
        self.heard().leader_at = Instant::now();
    }

    /// Another candidate has our vote: it is given this time to win.
    pub(crate) fn stand_back(&self, time: Duration) {
        self.heard().stands_back_until = Instant::now() + time;
    }

    /// Time since the leader said something.
    pub(crate) fn silent_for(&self) -> Duration {
        self.heard().leader_at.elapsed()
    }

    /// How long we still stand back.
    pub(crate) fn stands_back_for(&self) -> Duration {
        self.heard().stands_back_until.saturating_duration_since(Instant::now())
    }
}
