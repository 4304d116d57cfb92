//! The thread that owns a store.
//!
//! Jobs are done in the order they were sent. All that are waiting are done together, then there is one sync, then
//! their callbacks are called, again in order. The first write or sync that fails is the last: what is on disk is not
//! known from then on, so everything after it is refused and the server has to stop.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Error, LogStore, State};
use crate::limits::STORE_JOBS_QUEUED;

/// Why the store stopped; shared by all who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// A write or sync failed; fatal.
    #[error("the log store failed")]
    Store(#[source] Arc<Error>),
    /// The writer was stopped.
    #[error("the log store is closed")]
    Closed,
}

/// Called once the job is durable, or will never be.
pub type Done = Box<dyn FnOnce(Result<(), Failure>) + Send>;

/// What the thread is asked to do; see [`LogStore`] for the meaning.
pub enum Job {
    /// Appends records.
    Append {
        /// Index of the first of them.
        first_index: u64,
        /// The records.
        records: Vec<Bytes>,
        /// Called when they are durable.
        done: Done,
    },
    /// Remembers the vote.
    SaveVote {
        /// The vote.
        vote: Bytes,
        /// Called when it is durable.
        done: Done,
    },
    /// Remembers how far the log is committed; durable with the next job that is.
    SaveCommitted {
        /// How far.
        committed: Bytes,
    },
    /// Removes entries from the end.
    TruncateFrom {
        /// The first that goes.
        index: u64,
        /// Called when they are gone for good.
        done: Done,
    },
    /// Removes entries from the beginning.
    PurgeThrough {
        /// The last that goes.
        index: u64,
        /// Kept in their place.
        last_purged: Bytes,
        /// Called when they are gone for good.
        done: Done,
    },
    /// Reads entries; answered before the sync.
    Read {
        /// Which.
        range: Range<u64>,
        /// At most about this many bytes, but one entry at least.
        max_bytes: usize,
        /// Takes the answer.
        reply: oneshot::Sender<Result<Vec<Bytes>, Failure>>,
    },
    /// Asks what the store holds.
    State {
        /// Takes the answer.
        reply: oneshot::Sender<State>,
    },
    /// Syncs, closes the store and ends the thread.
    Stop {
        /// Called when the store is closed and another may open it.
        done: oneshot::Sender<()>,
    },
}

/// What the thread has done so far; for metrics and for the decision to take a snapshot.
#[derive(Debug, Default)]
pub struct Counters {
    appended_bytes: AtomicU64,
    log_bytes: AtomicU64,
    syncs: AtomicU64,
    blobs: AtomicU64,
}

impl Counters {
    /// Bytes of all records appended since the store was opened, plus those it held then.
    pub fn appended_bytes(&self) -> u64 {
        self.appended_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of the records present.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// Syncs since the store was opened.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Files outside the log; 0 unless something is wrong.
    pub fn blobs(&self) -> u64 {
        self.blobs.load(Ordering::Relaxed)
    }
}

/// The way to the thread. Clones lead to the same thread; it ends when the last one is gone or with [`Job::Stop`].
#[derive(Clone, Debug)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
    failure: watch::Receiver<Option<Failure>>,
    counters: Arc<Counters>,
}

impl Writer {
    /// Starts the thread for a store.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn start(store: Box<dyn LogStore>) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(STORE_JOBS_QUEUED);
        let (failed, failure) = watch::channel(None);
        let counters = Arc::new(Counters::default());
        counters.appended_bytes.store(store.usage().log_bytes, Ordering::Relaxed);
        let owner = Owner { store, queue, failed, counters: counters.clone() };
        owner.count();
        std::thread::Builder::new().name("log-store".into()).spawn(move || owner.run())?;
        Ok(Writer { jobs, failure, counters })
    }

    /// Sends a job; waits while the queue is full.
    ///
    /// # Errors
    ///
    /// [`Failure::Closed`] when the thread has ended; the job and its callback are dropped.
    pub async fn send(&self, job: Job) -> Result<(), Failure> {
        self.jobs.send(job).await.map_err(|_| Failure::Closed)
    }

    /// Like [`Writer::send`], for callers outside of async code.
    ///
    /// # Errors
    ///
    /// As [`Writer::send`].
    pub fn blocking_send(&self, job: Job) -> Result<(), Failure> {
        self.jobs.blocking_send(job).map_err(|_| Failure::Closed)
    }

    /// Sends a job made from a callback and waits for the callback.
    ///
    /// # Errors
    ///
    /// The failure that the callback was given, or [`Failure::Closed`].
    pub async fn complete(&self, job: impl FnOnce(Done) -> Job) -> Result<(), Failure> {
        let (done, wait) = oneshot::channel();
        self.send(job(Box::new(move |result| drop(done.send(result))))).await?;
        wait.await.unwrap_or(Err(Failure::Closed))
    }

    /// Reads entries, after all that was sent before.
    ///
    /// # Errors
    ///
    /// [`Failure`] of this read or of an earlier write.
    pub async fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Bytes>, Failure> {
        let (reply, wait) = oneshot::channel();
        self.send(Job::Read { range, max_bytes, reply }).await?;
        wait.await.unwrap_or(Err(Failure::Closed))
    }

    /// What the store holds, after all that was sent before.
    ///
    /// # Errors
    ///
    /// [`Failure::Closed`] when the thread has ended.
    pub async fn state(&self) -> Result<State, Failure> {
        let (reply, wait) = oneshot::channel();
        self.send(Job::State { reply }).await?;
        wait.await.map_err(|_| Failure::Closed)
    }

    /// Syncs and closes the store; returns when another may open it. A second call returns at once.
    pub async fn stop(&self) {
        let (done, wait) = oneshot::channel();
        if self.send(Job::Stop { done }).await.is_ok() {
            // An error means that the thread ended for another reason, which is as good.
            wait.await.ok();
        }
    }

    /// Becomes `Some` when a write or sync has failed, and stays so.
    pub fn failure(&self) -> watch::Receiver<Option<Failure>> {
        self.failure.clone()
    }

    /// What the thread has done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

struct Owner {
    store: Box<dyn LogStore>,
    queue: mpsc::Receiver<Job>,
    failed: watch::Sender<Option<Failure>>,
    counters: Arc<Counters>,
}

/// What is left to do after the jobs of one round were written.
#[derive(Default)]
struct Round {
    must_sync: bool,
    written: Vec<(Done, Result<(), Failure>)>,
    stop: Option<oneshot::Sender<()>>,
}

impl Owner {
    fn run(mut self) {
        let mut stop = None;
        while let Some(job) = self.queue.blocking_recv() {
            let mut round = Round::default();
            self.work(job, &mut round);
            for _ in 1..STORE_JOBS_QUEUED {
                if round.stop.is_some() {
                    break;
                }
                let Ok(job) = self.queue.try_recv() else { break };
                self.work(job, &mut round);
            }
            self.finish(&mut round);
            if round.stop.is_some() {
                stop = round.stop;
                break;
            }
        }
        // The last way to be committed but not synced; a failure here loses nothing that was acknowledged.
        if self.failed.borrow().is_none()
            && let Err(error) = self.store.sync()
        {
            tracing::warn!(%error, "cannot sync the log store while closing it");
        }
        drop(self.store);
        drop(self.queue);
        if let Some(stop) = stop {
            // Whoever asked for the end may have stopped waiting for it.
            stop.send(()).ok();
        }
    }

    fn work(&mut self, job: Job, round: &mut Round) {
        match job {
            Job::Append { first_index, records, done } => {
                let bytes = records.iter().map(|record| record.len() as u64).sum::<u64>();
                let result = self.write(|store| store.append(first_index, &records));
                if result.is_ok() {
                    self.counters.appended_bytes.fetch_add(bytes, Ordering::Relaxed);
                }
                round.add(result, done);
            }
            Job::SaveVote { vote, done } => round.add(self.write(|store| store.save_vote(&vote)), done),
            Job::SaveCommitted { committed } => {
                // Its failure is kept: it is reported to the next job, and to the watch at once.
                self.write(|store| store.save_committed(&committed)).ok();
            }
            Job::TruncateFrom { index, done } => {
                round.add(self.write(|store| store.truncate_from(index)), done)
            }
            Job::PurgeThrough { index, last_purged, done } => {
                round.add(self.write(|store| store.purge_through(index, &last_purged)), done);
            }
            Job::Read { range, max_bytes, reply } => {
                let result =
                    self.store.read(range, max_bytes).map_err(|error| Failure::Store(Arc::new(error)));
                // The reader may have given up.
                reply.send(result).ok();
            }
            Job::State { reply } => {
                reply.send(self.store.state()).ok();
            }
            Job::Stop { done } => round.stop = Some(done),
        }
    }

    /// Writes unless an earlier write failed; remembers the first failure.
    fn write(&mut self, write: impl FnOnce(&mut dyn LogStore) -> Result<(), Error>) -> Result<(), Failure> {
        if let Some(failure) = &*self.failed.borrow() {
            return Err(failure.clone());
        }
        write(&mut *self.store).map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the log store failed; the server must stop"
            );
            let failure = Failure::Store(Arc::new(error));
            self.failed.send_replace(Some(failure.clone()));
            failure
        })
    }

    /// One sync for the round, then its callbacks in order.
    fn finish(&mut self, round: &mut Round) {
        let synced = if round.must_sync { self.write(|store| store.sync()) } else { Ok(()) };
        if round.must_sync {
            self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        }
        self.count();
        for (done, written) in round.written.drain(..) {
            done(written.and_then(|()| synced.clone()));
        }
    }

    fn count(&self) {
        let usage = self.store.usage();
        self.counters.log_bytes.store(usage.log_bytes, Ordering::Relaxed);
        self.counters.blobs.store(usage.blobs, Ordering::Relaxed);
    }
}

impl Round {
    fn add(&mut self, result: Result<(), Failure>, done: Done) {
        self.must_sync |= result.is_ok();
        self.written.push((done, result));
    }
}

#[cfg(test)]
mod tests;
