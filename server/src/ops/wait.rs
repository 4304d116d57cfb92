//! Until when a read waits.

use std::sync::Arc;
use std::time::Duration;

use proto::ids::Revision;

use crate::cluster::Cluster;
use crate::core::state::State;
use crate::limits;

/// A read that waits for news: it answers when the state has passed a revision, or the time is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// What the reader has seen.
    pub after: Revision,
    /// How long it is ready to wait, at most [`limits::WAIT_MAX`]; zero: not at all.
    pub at_most: Duration,
}

impl Wait {
    /// Does not wait.
    pub const NO: Self = Self { after: Revision(0), at_most: Duration::ZERO };

    /// Returns the newest snapshot, after waiting.
    pub async fn snapshot(self, cluster: &Cluster) -> Arc<State> {
        if self.at_most.is_zero() {
            return cluster.snapshot();
        }
        cluster.wait_for(self.after, self.at_most.min(limits::WAIT_MAX)).await
    }
}
