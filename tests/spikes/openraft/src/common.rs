//! What both versions share: the product's own log store with a disk as slow as wanted, and a set of applied ids.

use std::collections::BTreeMap;
use std::ops::{Bound, Range, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::raft::log_store::writer::{Done, Failure, Job, Writer};
use crate::raft::log_store::{Backend, Error, LogStore, Options, State, Usage, open};

struct Slow(Box<dyn LogStore>, Duration);

impl LogStore for Slow {
    fn append(&mut self, first: u64, records: &[Bytes]) -> Result<(), Error> {
        self.0.append(first, records)
    }
    fn save_vote(&mut self, vote: &[u8]) -> Result<(), Error> {
        self.0.save_vote(vote)
    }
    fn save_committed(&mut self, committed: &[u8]) -> Result<(), Error> {
        self.0.save_committed(committed)
    }
    fn truncate_from(&mut self, index: u64) -> Result<(), Error> {
        self.0.truncate_from(index)
    }
    fn purge_through(&mut self, index: u64, last: &[u8]) -> Result<(), Error> {
        self.0.purge_through(index, last)
    }
    fn read(&self, range: Range<u64>, max: usize) -> Result<Vec<Bytes>, Error> {
        self.0.read(range, max)
    }
    fn state(&self) -> State {
        self.0.state()
    }
    fn sync(&mut self) -> Result<(), Error> {
        std::thread::sleep(self.1);
        self.0.sync()
    }
    fn usage(&self) -> Usage {
        self.0.usage()
    }
}

/// Log and votes, with all entries also in memory so that reads never wait for the disk in either version.
pub struct Wal<E> {
    pub writer: Writer,
    pub entries: Arc<Mutex<BTreeMap<u64, E>>>,
}

impl<E> Clone for Wal<E> {
    fn clone(&self) -> Self {
        Wal { writer: self.writer.clone(), entries: self.entries.clone() }
    }
}

impl<E: Serialize + DeserializeOwned + Clone> Wal<E> {
    pub fn open(dir: &Path, delay: Duration) -> Self {
        let store = open(dir, Options::new(Backend::Segments)).expect("the store opens");
        let first = store.state().first.unwrap_or(0);
        let records = store.read(0..u64::MAX, usize::MAX).expect("the store is read");
        let entries = (first..).zip(records.iter().map(|r| from_json(r))).collect();
        let writer = Writer::start(Box::new(Slow(store, delay))).expect("a thread");
        Wal { writer, entries: Arc::new(Mutex::new(entries)) }
    }

    pub async fn append(&self, entries: Vec<(u64, E)>, done: Done) {
        let Some(first_index) = entries.first().map(|e| e.0) else { return done(Ok(())) };
        let records = entries.iter().map(|(_, e)| to_json(e)).collect();
        self.entries.lock().unwrap().extend(entries);
        self.writer.send(Job::Append { first_index, records, done }).await.expect("the writer runs");
    }

    pub async fn complete(&self, job: impl FnOnce(Done) -> Job) -> Result<(), Failure> {
        self.writer.complete(job).await
    }

    pub async fn truncate(&self, index: u64) {
        self.entries.lock().unwrap().split_off(&index);
        self.complete(|done| Job::TruncateFrom { index, done }).await.expect("truncated");
    }

    pub async fn purge(&self, index: u64, mark: Bytes) {
        {
            let mut entries = self.entries.lock().unwrap();
            *entries = entries.split_off(&(index + 1));
        }
        self.complete(|done| Job::PurgeThrough { index, last_purged: mark, done }).await.expect("purged");
    }

    pub fn read(&self, range: &impl RangeBounds<u64>) -> Vec<E> {
        let start = match range.start_bound() {
            Bound::Included(s) => *s,
            Bound::Excluded(s) => s + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(e) => e + 1,
            Bound::Excluded(e) => *e,
            Bound::Unbounded => u64::MAX,
        };
        if start >= end {
            return vec![];
        }
        self.entries.lock().unwrap().range(start..end).map(|(_, e)| e.clone()).collect()
    }
}

pub fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("json").into()
}

pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> T {
    serde_json::from_slice(bytes).expect("json")
}

/// Which commands were applied.
pub type Applied = Arc<Mutex<Vec<bool>>>;

pub fn apply(applied: &Applied, id: u64) {
    let mut applied = applied.lock().unwrap();
    if applied.len() <= id as usize {
        applied.resize(id as usize + 1, false);
    }
    applied[id as usize] = true;
}
