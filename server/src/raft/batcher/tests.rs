use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::*;
use crate::limits::PROPOSALS_QUEUED;

/// A log that is held back by the test and answers each command with its length.
#[derive(Clone)]
struct Disk {
    gate: Arc<Semaphore>,
    entries: Arc<Mutex<Vec<Vec<usize>>>>,
    busy: Arc<AtomicUsize>,
    busiest: Arc<AtomicUsize>,
}

impl Disk {
    fn new(open: usize) -> Self {
        Disk {
            gate: Arc::new(Semaphore::new(open)),
            entries: Arc::default(),
            busy: Arc::default(),
            busiest: Arc::default(),
        }
    }

    async fn submit(self, batch: Batch) -> Result<Vec<usize>, ProposeError> {
        self.busiest.fetch_max(self.busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let lengths: Vec<usize> = batch.commands.iter().map(Bytes::len).collect();
        self.entries.lock().unwrap().push(lengths.clone());
        self.gate.acquire().await.unwrap().forget();
        self.busy.fetch_sub(1, Ordering::SeqCst);
        if lengths == [666] { Err(ProposeError::Unknown) } else { Ok(lengths) }
    }

    fn start(&self) -> mpsc::Sender<Proposal<usize>> {
        let (proposals, queue) = mpsc::channel(PROPOSALS_QUEUED);
        let disk = self.clone();
        tokio::spawn(run(queue, move |batch| disk.clone().submit(batch)));
        proposals
    }

    async fn wait_for_entries(&self, count: usize) {
        let wait = async {
            while self.entries.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(5), wait).await;
        assert!(waited.is_ok(), "{count} entries are proposed; seen: {:?}", self.entries.lock().unwrap());
    }
}

fn command(len: usize) -> Bytes {
    Bytes::from(vec![0; len])
}

#[tokio::test]
async fn what_arrives_while_the_disk_is_busy_shares_entries_within_their_bounds() {
    let disk = Disk::new(0);
    let proposals = disk.start();
    let mut outcomes = Vec::new();
    let lengths: Vec<usize> =
        (0..1500).map(|i| if i % 700 == 699 { ENTRY_BYTES_MAX } else { i % 900 }).collect();
    for (i, len) in lengths.iter().enumerate() {
        let (proposal, _, outcome) = Proposal::new(command(*len));
        proposals.send(proposal).await.map_err(|_| ()).unwrap();
        outcomes.push(outcome);
        if i < ENTRIES_IN_FLIGHT {
            disk.wait_for_entries(i + 1).await;
        }
    }
    disk.gate.add_permits(1000);
    for (outcome, len) in outcomes.into_iter().zip(&lengths) {
        assert_eq!(outcome.await.unwrap().unwrap(), *len, "every command has its own outcome");
    }
    let entries = disk.entries.lock().unwrap().clone();
    assert_eq!(entries.concat(), lengths, "the order is kept");
    assert!(entries.len() < 20, "{} entries", entries.len());
    for entry in &entries {
        assert!(entry.len() <= ENTRY_COMMANDS_MAX);
        assert!(entry.iter().sum::<usize>() <= ENTRY_BYTES_MAX);
    }
    assert_eq!(disk.busiest.load(Ordering::SeqCst), ENTRIES_IN_FLIGHT);
}

#[tokio::test]
async fn an_entry_that_fails_fails_nobody_elses_commands() {
    let disk = Disk::new(1000);
    let proposals = disk.start();
    let (first, _, bad) = Proposal::new(command(666));
    proposals.send(first).await.map_err(|_| ()).unwrap();
    disk.wait_for_entries(1).await;
    let (second, _, good) = Proposal::new(command(5));
    proposals.send(second).await.map_err(|_| ()).unwrap();
    assert!(matches!(bad.await.unwrap(), Err(ProposeError::Unknown)));
    assert_eq!(good.await.unwrap().unwrap(), 5);
}

#[tokio::test]
async fn an_abandoned_command_never_enters_the_log_and_a_proposed_one_cannot_be_abandoned() {
    let disk = Disk::new(0);
    let proposals = disk.start();
    let mut fates = Vec::new();
    for len in 1..=ENTRIES_IN_FLIGHT + 1 {
        let (proposal, fate, outcome) = Proposal::new(command(len));
        proposals.send(proposal).await.map_err(|_| ()).unwrap();
        disk.wait_for_entries(len.min(ENTRIES_IN_FLIGHT)).await;
        fates.push((fate, outcome));
    }
    assert!(!fates[0].0.abandon());
    assert!(fates[ENTRIES_IN_FLIGHT].0.abandon());
    disk.gate.add_permits(1000);
    drop(proposals);
    let abandoned = fates.pop().unwrap().1.await;
    assert!(abandoned.is_err(), "nobody answers it");
    assert_eq!(disk.entries.lock().unwrap().len(), ENTRIES_IN_FLIGHT);
}

#[tokio::test]
async fn only_abandoned_commands_do_not_stop_the_batcher() {
    let disk = Disk::new(1000);
    let (proposals, queue) = mpsc::channel(PROPOSALS_QUEUED);
    let (dead, fate, _gone) = Proposal::new(command(1));
    assert!(fate.abandon());
    proposals.send(dead).await.map_err(|_| ()).unwrap();
    let (alive, _, outcome) = Proposal::new(command(2));
    proposals.send(alive).await.map_err(|_| ()).unwrap();
    let submit = disk.clone();
    tokio::spawn(run(queue, move |batch| submit.clone().submit(batch)));
    assert_eq!(outcome.await.unwrap().unwrap(), 2);
}
