//! openraft's log storage over the writer thread.
//!
//! What was appended a moment ago is kept decoded, because it is applied and replicated next. Everything else is read
//! through the writer's queue, and so always after what was written before.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard};

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend, RaftLogReader, StorageIOError};

use super::applier::any;
use super::codec;
use super::log_store::writer::{Failure, Job, Writer};
use super::machine::Machine;
use super::types::{Entry, LogId, StorageError, TypeConfig, Vote};
use crate::limits::{RECENT_ENTRIES_BYTES, REPLICATION_BYTES_MAX};

/// The log of one server; clones share it.
pub(crate) struct Log<M: Machine> {
    writer: Writer,
    recent: Arc<Mutex<Recent<M>>>,
}

impl<M: Machine> Clone for Log<M> {
    fn clone(&self) -> Self {
        Log { writer: self.writer.clone(), recent: self.recent.clone() }
    }
}

impl<M: Machine> Log<M> {
    pub(crate) fn new(writer: Writer) -> Self {
        Log { writer, recent: Arc::default() }
    }

    fn recent(&self) -> MutexGuard<'_, Recent<M>> {
        // A panic while it was held cannot leave it half changed in a way that matters: entries are only dropped.
        self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The end of the log, what is not committed or not synced yet included. From memory unless nothing was appended lately.
    pub(crate) async fn last(&self) -> Result<Option<LogId>, StorageError> {
        if let Some(last) = self.recent().entries.back().map(|entry| entry.log_id) {
            return Ok(Some(last));
        }
        Ok(self.clone().get_log_state().await?.last_log_id)
    }

    async fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Entry<M>>, StorageError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(entries) = self.recent().get(&range, max_bytes) {
            return Ok(entries);
        }
        let records = self.writer.read(range, max_bytes).await.map_err(|error| read_error(&error))?;
        let mut entries = Vec::with_capacity(records.len());
        for record in records {
            entries.push(codec::decode_entry(record).map_err(|error| read_error(&error))?);
        }
        Ok(entries)
    }
}

impl<M: Machine> RaftLogReader<TypeConfig<M>> for Log<M> {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<M>>, StorageError> {
        self.read(half_open(&range), usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry<M>>, StorageError> {
        self.read(start..end, REPLICATION_BYTES_MAX).await
    }
}

impl<M: Machine> RaftLogStorage<TypeConfig<M>> for Log<M> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig<M>>, StorageError> {
        let state = self.writer.state().await.map_err(|error| read_error(&error))?;
        let purged = state.purged.map(|(_, mark)| codec::decode_mark(&mark)).transpose();
        let last_purged_log_id = purged.map_err(|error| read_error(&error))?.flatten();
        self.recent().purge_through(last_purged_log_id.map(|id| id.index));
        let last_log_id = match state.last {
            Some(last) => self.read(last..last + 1, usize::MAX).await?.pop().map(|entry| entry.log_id),
            None => last_purged_log_id,
        };
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let vote = codec::encode_vote(vote);
        let saved = self.writer.complete(|done| Job::SaveVote { vote, done }).await;
        saved.map_err(|error| StorageIOError::write_vote(any(&error)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        let state = self.writer.state().await.map_err(|error| StorageIOError::read_vote(any(&error)))?;
        let vote = state.vote.map(|vote| codec::decode_vote(&vote)).transpose();
        vote.map_err(|error| StorageIOError::read_vote(any(&error)).into())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        let committed = codec::encode_mark(committed);
        self.writer.send(Job::SaveCommitted { committed }).await.map_err(|error| write_error(&error))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let state = self.writer.state().await.map_err(|error| read_error(&error))?;
        let mark = state.committed.map(|mark| codec::decode_mark(&mark)).transpose();
        mark.map(Option::flatten).map_err(|error| read_error(&error))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig<M>>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry<M>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        let mut first_index = None;
        // What a snapshot already holds need not be logged again.
        let purged = self.recent().purged;
        let entries =
            entries.into_iter().filter(|entry| Some(entry.log_id.index) > purged).collect::<Vec<_>>();
        for entry in &entries {
            first_index.get_or_insert(entry.log_id.index);
            records.push(codec::encode_entry(entry));
            if let EntryPayload::Normal(batch) = &entry.payload {
                batch.mark_appended();
            }
        }
        let Some(first_index) = first_index else {
            callback.log_io_completed(Ok(()));
            return Ok(());
        };
        let done = Box::new(move |result: Result<(), Failure>| {
            callback.log_io_completed(result.map_err(|error| io::Error::other(any(&error).to_string())));
        });
        let sent = self.writer.send(Job::Append { first_index, records, done }).await;
        sent.map_err(|error| write_error(&error))?;
        self.recent().append(entries);
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let index = log_id.index;
        self.recent().clear();
        let truncated = self.writer.complete(|done| Job::TruncateFrom { index, done }).await;
        truncated.map_err(|error| write_error(&error))
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let (index, last_purged) = (log_id.index, codec::encode_mark(Some(log_id)));
        self.recent().purge_through(Some(index));
        let purged = self.writer.complete(|done| Job::PurgeThrough { index, last_purged, done }).await;
        purged.map_err(|error| write_error(&error))
    }
}

/// The newest entries, consecutive.
struct Recent<M: Machine> {
    entries: VecDeque<Entry<M>>,
    bytes: usize,
    /// The last entry that is no longer in the log.
    purged: Option<u64>,
}

impl<M: Machine> Default for Recent<M> {
    fn default() -> Self {
        Recent { entries: VecDeque::new(), bytes: 0, purged: None }
    }
}

impl<M: Machine> Recent<M> {
    fn append(&mut self, entries: Vec<Entry<M>>) {
        for entry in entries {
            if self.entries.back().is_some_and(|last| last.log_id.index + 1 != entry.log_id.index) {
                self.clear();
            }
            self.bytes += cost(&entry);
            self.entries.push_back(entry);
        }
        while self.bytes > RECENT_ENTRIES_BYTES {
            let Some(entry) = self.entries.pop_front() else { break };
            self.bytes -= cost(&entry);
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    fn purge_through(&mut self, index: Option<u64>) {
        self.purged = self.purged.max(index);
        let gone = self.entries.partition_point(|entry| Some(entry.log_id.index) <= index);
        self.bytes -= self.entries.drain(..gone).map(|entry| cost(&entry)).sum::<usize>();
    }

    /// The entries of the range, if all of them are here.
    fn get(&self, range: &Range<u64>, max_bytes: usize) -> Option<Vec<Entry<M>>> {
        let first = self.entries.front()?.log_id.index;
        let skip = range.start.checked_sub(first)? as usize;
        let count = usize::try_from(range.end - range.start).ok()?;
        if skip.checked_add(count)? > self.entries.len() {
            return None;
        }
        let mut bytes = 0;
        let fits = |entry: &&Entry<M>| {
            let first = bytes == 0;
            bytes += cost(entry);
            first || bytes <= max_bytes
        };
        Some(self.entries.range(skip..skip + count).take_while(fits).cloned().collect())
    }
}

/// Memory of an entry, about.
fn cost<M: Machine>(entry: &Entry<M>) -> usize {
    let per_command = size_of::<bytes::Bytes>();
    let payload = match &entry.payload {
        EntryPayload::Normal(batch) => batch.bytes() + batch.commands.len() * per_command,
        _ => 0,
    };
    size_of::<Entry<M>>() + payload
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

fn read_error(error: &dyn StdError) -> StorageError {
    StorageIOError::read_logs(any(error)).into()
}

fn write_error(error: &dyn StdError) -> StorageError {
    StorageIOError::write_logs(any(error)).into()
}
