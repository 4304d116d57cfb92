//! When a snapshot is taken and how far the log is purged.
//!
//! openraft counts entries; what matters on disk is bytes. So its own policy is off and this task asks for snapshots.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::log_store::writer::Writer;
use super::machine::Machine;
use super::snapshots::Snapshots;
use super::types::Raft;
use crate::limits::{SNAPSHOT_INTERVAL_MIN, SNAPSHOT_LOG_BYTES_MIN};

/// When a snapshot is taken.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Bytes the log must grow; the size of the last snapshot counts instead when it is larger. 64 MiB by default.
    pub log_bytes_min: u64,
    /// Time between two snapshots. 30 s by default.
    pub interval_min: Duration,
    /// How often to look. 1 s by default.
    pub check_every: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            log_bytes_min: SNAPSHOT_LOG_BYTES_MIN,
            interval_min: SNAPSHOT_INTERVAL_MIN,
            check_every: Duration::from_secs(1),
        }
    }
}

/// What the decision is made of.
#[derive(Clone, Copy, Debug)]
struct Facts {
    /// Bytes appended since the last snapshot was asked for.
    grown: u64,
    /// Size of the last snapshot, 0 without one.
    snapshot_bytes: u64,
    /// Time since the last snapshot was asked for; `None` if none was since the start.
    since_last: Option<Duration>,
}

impl Policy {
    fn is_due(&self, facts: Facts) -> bool {
        self.is_wanted(facts) && facts.since_last.is_none_or(|since| since >= self.interval_min)
    }

    /// Whether a snapshot will be due by time alone.
    fn is_wanted(&self, facts: Facts) -> bool {
        facts.grown >= self.log_bytes_min.max(facts.snapshot_bytes)
    }
}

/// Takes snapshots and purges the log until the consensus core is gone.
pub(crate) async fn run<M: Machine>(
    raft: Raft<M>,
    writer: Writer,
    snapshots: Arc<Snapshots>,
    policy: Policy,
) {
    let mut ticks = tokio::time::interval(policy.check_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A log that rests is not looked at: an idle server sleeps.
    let mut is_restless = true;
    let mut metrics = raft.data_metrics();
    // The log that was there at the start counts as grown: nobody knows how long it has been waiting.
    let mut appended_at_last = 0;
    let mut last = None;
    let mut purged_through = None;
    loop {
        tokio::select! {
            _ = ticks.tick(), if is_restless => is_restless = false,
            changed = metrics.changed() => {
                if changed.is_err() {
                    return;
                }
                // What follows from the change without another one is seen by one more look.
                is_restless = true;
            }
        }
        metrics.mark_unchanged();
        let appended = writer.counters().appended_bytes();
        let facts = Facts {
            grown: appended - appended_at_last,
            snapshot_bytes: snapshots.newest().map_or(0, |known| known.size),
            since_last: last.map(|last: Instant| last.elapsed()),
        };
        is_restless |= policy.is_wanted(facts);
        if policy.is_due(facts) {
            last = Some(Instant::now());
            if !snapshots.has_room() {
                tracing::warn!("there is no room on the disk for a snapshot; the log grows until there is");
                continue;
            }
            appended_at_last = appended;
            if raft.trigger().snapshot().await.is_err() {
                return;
            }
        }
        // openraft refuses to purge what its newest snapshot does not hold, so it has to know that one first.
        let known = metrics.borrow().snapshot.map(|id| id.index);
        let purgeable = snapshots.purgeable_through().filter(|index| Some(*index) <= known);
        if let Some(index) = purgeable.filter(|index| Some(*index) > purged_through) {
            purged_through = Some(index);
            if raft.trigger().purge_log(index).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(grown: u64, snapshot_bytes: u64, since_last: Option<u64>) -> bool {
        Policy::default().is_due(Facts {
            grown,
            snapshot_bytes,
            since_last: since_last.map(Duration::from_secs),
        })
    }

    #[test]
    fn the_log_grows_by_64_mib_or_by_the_size_of_the_last_snapshot() {
        assert!(!due((64 << 20) - 1, 0, None));
        assert!(due(64 << 20, 0, None));
        assert!(!due(64 << 20, 100 << 20, None));
        assert!(due(100 << 20, 100 << 20, None));
    }

    #[test]
    fn two_snapshots_are_30_seconds_apart() {
        assert!(!due(1 << 40, 0, Some(29)));
        assert!(due(1 << 40, 0, Some(30)));
    }
}
