use std::sync::Mutex;

use super::super::{Usage, check_append};
use super::*;

/// A store in memory that notes what is done to it and fails when told to.
#[derive(Default)]
struct Memory {
    state: State,
    notes: Notes,
    fail_syncs_from: Option<usize>,
    syncs: usize,
}

type Notes = Arc<Mutex<Vec<String>>>;

impl Memory {
    fn note(&self, note: impl Into<String>) {
        self.notes.lock().unwrap().push(note.into());
    }
}

impl LogStore for Memory {
    fn append(&mut self, first_index: u64, records: &[Bytes]) -> Result<(), Error> {
        check_append(&self.state, first_index, records)?;
        self.state.last = Some(first_index + records.len() as u64 - 1);
        self.note(format!("append {first_index}"));
        Ok(())
    }
    fn save_vote(&mut self, _: &[u8]) -> Result<(), Error> {
        self.note("vote");
        Ok(())
    }
    fn save_committed(&mut self, _: &[u8]) -> Result<(), Error> {
        self.note("committed");
        Ok(())
    }
    fn truncate_from(&mut self, index: u64) -> Result<(), Error> {
        self.note(format!("truncate {index}"));
        Ok(())
    }
    fn purge_through(&mut self, index: u64, _: &[u8]) -> Result<(), Error> {
        self.note(format!("purge {index}"));
        Ok(())
    }
    fn read(&self, range: Range<u64>, _: usize) -> Result<Vec<Bytes>, Error> {
        self.note(format!("read {range:?}"));
        Ok(Vec::new())
    }
    fn state(&self) -> State {
        self.state.clone()
    }
    fn sync(&mut self) -> Result<(), Error> {
        let failed = self.fail_syncs_from.is_some_and(|from| self.syncs >= from);
        self.syncs += 1;
        self.note(if failed { "sync failed" } else { "sync" });
        if failed { Err(Error::Failed) } else { Ok(()) }
    }
    fn usage(&self) -> Usage {
        Usage::default()
    }
}

fn noting(notes: &Notes, text: &str) -> Done {
    let (notes, text) = (notes.clone(), text.to_owned());
    Box::new(move |result| {
        let result = if result.is_ok() { "durable" } else { "failed" };
        notes.lock().unwrap().push(format!("{text} {result}"));
    })
}

/// Fills the queue before the thread runs, so that all jobs fall into one round.
fn one_round(store: Memory, jobs: Vec<Job>) -> (Writer, std::thread::JoinHandle<()>) {
    let (sender, queue) = mpsc::channel(STORE_JOBS_QUEUED);
    let (failed, failure) = watch::channel(None);
    let counters = Arc::new(Counters::default());
    jobs.into_iter().for_each(|job| sender.try_send(job).map_err(|_| ()).unwrap());
    let owner = Owner { store: Box::new(store), queue, failed, counters: counters.clone() };
    let thread = std::thread::spawn(move || owner.run());
    (Writer { jobs: sender, failure, counters }, thread)
}

fn append(first_index: u64, done: Done) -> Job {
    Job::Append { first_index, records: vec![Bytes::from_static(b"r")], done }
}

#[test]
fn one_sync_serves_all_that_wait_and_callbacks_come_after_it_in_order() {
    let notes = Notes::default();
    let store = Memory { notes: notes.clone(), ..Memory::default() };
    let (reply, _read) = oneshot::channel();
    let jobs = vec![
        append(1, noting(&notes, "1")),
        Job::SaveVote { vote: Bytes::new(), done: noting(&notes, "vote") },
        Job::SaveCommitted { committed: Bytes::new() },
        Job::Read { range: 1..2, max_bytes: 1, reply },
        append(2, noting(&notes, "2")),
        Job::TruncateFrom { index: 2, done: noting(&notes, "truncate") },
        Job::PurgeThrough { index: 1, last_purged: Bytes::new(), done: noting(&notes, "purge") },
    ];
    let (writer, thread) = one_round(store, jobs);
    drop(writer);
    thread.join().unwrap();
    let expected = [
        "append 1",
        "vote",
        "committed",
        "read 1..2",
        "append 2",
        "truncate 2",
        "purge 1",
        "sync",
        "1 durable",
        "vote durable",
        "2 durable",
        "truncate durable",
        "purge durable",
        "sync",
    ];
    assert_eq!(*notes.lock().unwrap(), expected);
}

#[test]
fn nobody_waits_for_committed_to_be_durable() {
    let notes = Notes::default();
    let store = Memory { notes: notes.clone(), ..Memory::default() };
    let (reply, state) = oneshot::channel();
    let jobs = vec![Job::SaveCommitted { committed: Bytes::new() }, Job::State { reply }];
    let (writer, thread) = one_round(store, jobs);
    state.blocking_recv().unwrap();
    assert_eq!(writer.counters().syncs(), 0);
    drop(writer);
    thread.join().unwrap();
    assert_eq!(*notes.lock().unwrap(), ["committed", "sync"], "the last sync belongs to closing");
}

#[test]
fn a_failed_sync_is_fatal_told_to_all_and_never_tried_again() {
    let notes = Notes::default();
    let store = Memory { notes: notes.clone(), fail_syncs_from: Some(0), ..Memory::default() };
    let jobs = vec![append(1, noting(&notes, "1")), append(2, noting(&notes, "2"))];
    let (writer, thread) = one_round(store, jobs);
    let mut failure = writer.failure();
    while failure.borrow_and_update().is_none() {
        std::thread::yield_now();
    }
    writer.blocking_send(append(3, noting(&notes, "3"))).unwrap();
    drop(writer);
    thread.join().unwrap();
    assert!(matches!(&*failure.borrow(), Some(Failure::Store(_))));
    let expected = ["append 1", "append 2", "sync failed", "1 failed", "2 failed", "3 failed"];
    assert_eq!(*notes.lock().unwrap(), expected);
}

#[test]
fn a_failed_write_fails_the_whole_round_because_nothing_is_synced_after_it() {
    let notes = Notes::default();
    let store = Memory { notes: notes.clone(), ..Memory::default() };
    let jobs = vec![
        append(1, noting(&notes, "1")),
        append(9, noting(&notes, "hole")),
        append(2, noting(&notes, "2")),
    ];
    let (writer, thread) = one_round(store, jobs);
    let failure = writer.failure();
    drop(writer);
    thread.join().unwrap();
    assert!(failure.borrow().is_some());
    // The first was written, but the writer does not sync after a failure: it may only be told as failed.
    assert_eq!(*notes.lock().unwrap(), ["append 1", "1 failed", "hole failed", "2 failed"]);
}

#[tokio::test]
async fn after_a_stop_the_directory_is_free_and_senders_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let options = super::super::Options::new(super::super::Backend::Segments);
    let writer = Writer::start(super::super::open(dir.path(), options).unwrap()).unwrap();
    writer.complete(|done| append(0, done)).await.unwrap();
    writer.stop().await;
    assert!(matches!(writer.complete(|done| append(1, done)).await, Err(Failure::Closed)));
    writer.stop().await;
    assert_eq!(super::super::open(dir.path(), options).unwrap().state().last, Some(0));
}
