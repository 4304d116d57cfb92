//! What servers have still to learn: the latest status of every allocation that changed, until they acknowledge it.
//!
//! Bounded by the number of allocations here, since only the latest of each is kept.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::ids::AllocId;
use proto::model::AllocStatus;
use proto::time::BootTime;
use proto::wire::{status, v1};
use tokio::sync::Notify;

use crate::limits::{STATUS_BATCH_BYTES, STATUS_RESEND};

/// See the module.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: Mutex<BTreeMap<AllocId, Entry>>,
    changed: Notify,
}

#[derive(Debug)]
struct Entry {
    status: AllocStatus,
    /// The batch that took it, and when.
    sent: Option<(u64, BootTime)>,
}

impl Outbox {
    /// Puts the latest of an allocation in the place of what was there.
    pub fn put(&self, status: AllocStatus) {
        self.lock().insert(status.id, Entry { status, sent: None });
        self.changed.notify_one();
    }

    /// Drops what servers need not learn any more.
    pub fn remove(&self, id: AllocId) {
        self.lock().remove(&id);
    }

    /// Forgets that anything was sent: a new session knows nothing of the one before.
    pub fn begin_session(&self) {
        for entry in self.lock().values_mut() {
            entry.sent = None;
        }
        self.changed.notify_one();
    }

    /// Returns a batch of what was not sent, or was sent long ago and never acknowledged; none when there is nothing. It
    /// stops at [`STATUS_BATCH_BYTES`]: call it again for the rest.
    #[must_use]
    pub fn take(&self, batch: u64, now: BootTime) -> Option<v1::StatusBatch> {
        let mut statuses = Vec::new();
        let mut bytes = 0;
        for entry in self.lock().values_mut() {
            if entry.sent.is_some_and(|(_, at)| now.since(at) < STATUS_RESEND) {
                continue;
            }
            let one = status::to_wire(&entry.status);
            bytes += prost::Message::encoded_len(&one);
            if bytes > STATUS_BATCH_BYTES && !statuses.is_empty() {
                break;
            }
            entry.sent = Some((batch, now));
            statuses.push(one);
        }
        (!statuses.is_empty()).then_some(v1::StatusBatch { batch, statuses })
    }

    /// Drops what a batch took and has not changed since. An unknown number changes nothing.
    pub fn acknowledge(&self, batch: u64) {
        self.lock().retain(|_, entry| entry.sent.is_none_or(|(taken_by, _)| taken_by != batch));
    }

    /// Waits until something may have changed. Cancel safe.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Returns how many allocations servers have still to learn of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns whether servers know everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AllocId, Entry>> {
        // Every change under the lock is whole, so a panic of another holder leaves nothing half done.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proto::model::AllocState;

    use super::*;

    fn status(id: u64, seq: u64) -> AllocStatus {
        AllocStatus { id: AllocId(id), seq, state: AllocState::Running, tasks: Vec::new() }
    }

    fn seqs(batch: Option<v1::StatusBatch>) -> Vec<(u64, u64)> {
        batch.map_or(Vec::new(), |batch| batch.statuses.iter().map(|one| (one.id, one.seq)).collect())
    }

    const NOW: BootTime = BootTime(1_000);

    #[test]
    fn only_the_latest_of_an_allocation_is_sent() {
        let outbox = Outbox::default();
        for seq in 1..=3 {
            outbox.put(status(7, seq));
        }
        assert_eq!(seqs(outbox.take(1, NOW)), [(7, 3)]);
        assert_eq!(seqs(outbox.take(2, NOW)), []);
    }

    #[test]
    fn a_change_after_a_batch_survives_its_acknowledgement() {
        let outbox = Outbox::default();
        outbox.put(status(7, 1));
        assert_eq!(seqs(outbox.take(1, NOW)), [(7, 1)]);
        outbox.put(status(7, 2));
        outbox.acknowledge(1);
        assert_eq!(seqs(outbox.take(2, NOW)), [(7, 2)]);
        outbox.acknowledge(2);
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_is_never_acknowledged_is_sent_again() {
        let outbox = Outbox::default();
        outbox.put(status(7, 1));
        assert_eq!(seqs(outbox.take(1, NOW)), [(7, 1)]);
        assert_eq!(seqs(outbox.take(2, NOW.plus(STATUS_RESEND))), [(7, 1)]);
        outbox.begin_session();
        assert_eq!(seqs(outbox.take(1, NOW.plus(STATUS_RESEND))), [(7, 1)]);
    }

    #[test]
    fn a_batch_has_a_bound_and_the_rest_follows() {
        let outbox = Outbox::default();
        let mut taken = 0;
        for id in 0..20_000 {
            outbox.put(status(id + 1, 1));
        }
        for batch in 1.. {
            let Some(one) = outbox.take(batch, NOW) else { break };
            assert!(prost::Message::encoded_len(&one) <= STATUS_BATCH_BYTES * 2);
            taken += one.statuses.len();
        }
        assert_eq!(taken, 20_000);
    }
}
