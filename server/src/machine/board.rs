//! Jobs that the scheduler must look at: marked by every applied command, taken by the leader's scheduler loop.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::ids::{JobKey, NodeId, Revision};
use tokio::sync::{Notify, watch};

/// The jobs that a leader has not looked at since they changed. On other servers it stays empty: a new leader looks at all.
#[derive(Debug)]
pub struct Board {
    inner: Mutex<Inner>,
    wake: Notify,
    /// Carries nothing: who is woken looks again.
    moved: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Changes are kept for a scheduler.
    open: bool,
    /// The scheduler knows of every job, so that what is not marked was looked at.
    ready: bool,
    through: Revision,
    dirty: BTreeSet<JobKey>,
    working: BTreeSet<JobKey>,
    gained: BTreeSet<NodeId>,
}

/// What the scheduler took from the board.
#[derive(Debug, Default)]
pub struct Drained {
    /// Jobs to look at.
    pub jobs: BTreeSet<JobKey>,
    /// Nodes that gained room.
    pub gained: BTreeSet<NodeId>,
}

impl Default for Board {
    fn default() -> Self {
        Self { inner: Mutex::default(), wake: Notify::new(), moved: watch::Sender::new(()) }
    }
}

impl Board {
    /// Marks what commands up to that revision have changed.
    pub(super) fn absorb(&self, through: Revision, jobs: BTreeSet<JobKey>, gained: BTreeSet<NodeId>) {
        let mut inner = self.lock();
        inner.through = through;
        if inner.open {
            inner.dirty.extend(jobs);
            inner.gained.extend(gained);
            self.wake.notify_one();
        }
        drop(inner);
        self.moved.send_replace(());
    }

    /// Opens the board for a scheduler; what changes from here on is kept for it. Then it calls [`Board::begin`] with all jobs of
    /// a snapshot that it takes afterwards, so that nothing falls between the two.
    pub fn open(&self) {
        self.reset(true);
    }

    /// Marks the jobs that a scheduler begins with. From here on [`Board::has_considered`] may be true.
    pub fn begin(&self, jobs: impl IntoIterator<Item = JobKey>) {
        let mut inner = self.lock();
        inner.dirty.extend(jobs);
        inner.ready = true;
        drop(inner);
        self.wake.notify_one();
        self.moved.send_replace(());
    }

    /// Closes the board: nobody schedules here any more.
    pub fn close(&self) {
        self.reset(false);
        self.moved.send_replace(());
    }

    fn reset(&self, open: bool) {
        let mut inner = self.lock();
        let through = inner.through;
        *inner = Inner { open, through, ..Inner::default() };
    }

    /// Marks jobs for other reasons than a change: a timer, a refusal.
    pub fn mark(&self, jobs: impl IntoIterator<Item = JobKey>) {
        self.lock().dirty.extend(jobs);
        self.wake.notify_one();
    }

    /// Takes everything that is marked. It counts as being worked on until [`Board::done`] names it.
    pub fn drain(&self) -> Drained {
        let mut inner = self.lock();
        let jobs = std::mem::take(&mut inner.dirty);
        inner.working.extend(jobs.iter().cloned());
        Drained { jobs, gained: std::mem::take(&mut inner.gained) }
    }

    /// Waits until something may have been marked.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Says that these jobs were decided on and what was decided is applied.
    pub fn done<'a>(&self, jobs: impl IntoIterator<Item = &'a JobKey>) {
        let mut inner = self.lock();
        for job in jobs {
            inner.working.remove(job);
        }
        drop(inner);
        self.moved.send_replace(());
    }

    /// Returns whether a scheduler here has looked at the job since that revision and nothing of it is under way.
    #[must_use]
    pub fn has_considered(&self, job: &JobKey, revision: Revision) -> bool {
        let inner = self.lock();
        inner.ready && inner.through >= revision && !inner.dirty.contains(job) && !inner.working.contains(job)
    }

    /// Changes whenever [`Board::has_considered`] may have.
    #[must_use]
    pub fn moves(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str) -> BTreeSet<JobKey> {
        BTreeSet::from([JobKey::new("default", name)])
    }

    #[test]
    fn a_job_is_considered_only_when_it_is_neither_marked_nor_under_way() {
        let (board, key) = (Board::default(), JobKey::new("default", "a"));
        board.open();
        assert!(!board.has_considered(&key, Revision(0)), "the scheduler does not know all jobs yet");
        board.begin(BTreeSet::new());
        assert!(!board.has_considered(&key, Revision(1)), "the revision has not come yet");
        board.absorb(Revision(1), job("a"), BTreeSet::new());
        assert!(!board.has_considered(&key, Revision(1)), "marked");
        assert_eq!(board.drain().jobs, job("a"));
        assert!(!board.has_considered(&key, Revision(1)), "under way");
        board.absorb(Revision(2), job("a"), BTreeSet::new());
        board.done(&job("a"));
        assert!(!board.has_considered(&key, Revision(1)), "marked again meanwhile");
        board.drain();
        board.done(&job("a"));
        assert!(board.has_considered(&key, Revision(2)));
        board.close();
        assert!(!board.has_considered(&key, Revision(2)), "nobody schedules here");
    }

    #[test]
    fn who_waits_is_woken_when_a_scheduler_begins_though_there_is_nothing_to_do() {
        let (board, key) = (Board::default(), JobKey::new("default", "a"));
        board.open();
        let mut moves = board.moves();
        moves.mark_unchanged();
        board.begin(BTreeSet::new());
        assert!(moves.has_changed().unwrap() && board.has_considered(&key, Revision(0)));
    }

    #[test]
    fn a_closed_board_keeps_nothing() {
        let board = Board::default();
        board.absorb(Revision(1), job("a"), BTreeSet::from([NodeId(1)]));
        board.open();
        let drained = board.drain();
        assert!(drained.jobs.is_empty() && drained.gained.is_empty());
    }
}
