use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::raft::config::Timings;
use crate::raft::log_store::{Backend, Options};
use crate::raft::testing::{Adder, Sum, add};

const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    handle: Handle<Adder>,
    published: Arc<Mutex<Sum>>,
}

fn config(dir: &Path, backend: Backend) -> Config {
    Config {
        store: Options { segment_bytes: 4096, ..Options::new(backend) },
        timings: Timings {
            heartbeat: Duration::from_millis(50),
            election_min: Duration::from_millis(150),
            election_max: Duration::from_millis(300),
        },
        ..Config::new(dir, 7, "127.0.0.1:4650", "s1")
    }
}

async fn start(config: Config) -> Server {
    let machine = Adder::default();
    let published = machine.published.clone();
    Server { handle: Handle::start(config, machine).await.unwrap(), published }
}

impl Server {
    fn sum(&self) -> Sum {
        *self.published.lock().unwrap()
    }

    async fn lead(&self) {
        let mut leadership = self.handle.leadership();
        let leads = tokio::time::timeout(PATIENCE, leadership.wait_for(|fact| fact.leading)).await;
        assert!(leads.is_ok(), "a lone server leads; seen: {:?}", self.handle.leadership().borrow());
    }

    async fn wait_for(&self, what: &str, condition: impl Fn(&Metrics) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(&self.handle.metrics()) {
            assert!(Instant::now() < deadline, "{what}; seen: {:?}", self.handle.metrics());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_restart_gives_back_everything_acknowledged_before_it_leads_again() {
    for backend in [Backend::Sled, Backend::Segments] {
        let dir = tempfile::tempdir().unwrap();
        let server = start(config(dir.path(), backend)).await;
        server.lead().await;
        let leader = server.handle.leadership().borrow().leader.clone();
        assert_eq!(leader.as_deref(), Some("127.0.0.1:4650"));
        for number in 1..=50u64 {
            assert_eq!(server.handle.propose(add(number)).await.unwrap(), Ok(number * (number + 1) / 2));
        }
        let before = server.sum();
        assert_eq!(before.total, 1275, "readers see what was acknowledged");
        server.handle.stop().await;
        assert_eq!(server.handle.propose(add(1)).await, Err(ProposeError::Stopped));
        assert_eq!(*server.handle.fatal().borrow(), None, "stopping is no failure");

        let server = start(config(dir.path(), backend)).await;
        assert_eq!(server.sum(), before, "{backend:?}");
        server.lead().await;
        assert_eq!(server.handle.propose(add(5)).await.unwrap(), Ok(1280));
        assert_eq!(server.handle.metrics().blobs, 0);
        server.handle.stop().await;
    }
}

#[tokio::test]
async fn a_snapshot_and_the_log_after_it_give_back_the_state() {
    for backend in [Backend::Sled, Backend::Segments] {
        let dir = tempfile::tempdir().unwrap();
        let server = start(config(dir.path(), backend)).await;
        server.lead().await;
        let mut taken = Vec::new();
        for round in 0..3 {
            for number in 0..40 {
                server.handle.propose(add(round * 100 + number)).await.unwrap().unwrap();
            }
            taken.push(server.handle.snapshot_now().await.unwrap());
        }
        assert!(taken.is_sorted() && taken[0] < taken[2], "{taken:?}");
        assert_eq!(server.handle.snapshot_now().await.unwrap(), taken[2], "nothing new, no new snapshot");
        server.wait_for("the log is purged up to the older snapshot", |seen| seen.purged == taken[1]).await;
        server.handle.propose(add(1)).await.unwrap().unwrap();
        let before = server.sum();
        server.handle.stop().await;

        let server = start(config(dir.path(), backend)).await;
        assert_eq!(server.sum(), before, "{backend:?}");
        server.handle.stop().await;
        damage_newest_snapshot(dir.path());
        let server = start(config(dir.path(), backend)).await;
        assert_eq!(server.sum(), before, "{backend:?}: the older snapshot and the log are enough");
        server.handle.stop().await;
        damage_newest_snapshot(dir.path());
        let error = Handle::start(config(dir.path(), backend), Adder::default()).await.err().unwrap();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("no intact snapshot") && cause.contains("join again"), "{cause}");
    }
}

fn damage_newest_snapshot(dir: &Path) {
    let files = std::fs::read_dir(dir.join("raft/snapshots")).unwrap().map(|entry| entry.unwrap().path());
    let newest = files.filter(|path| path.extension().is_some_and(|e| e == "snapshot")).max().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let at = bytes.len() - 20;
    bytes[at] ^= 1;
    std::fs::write(newest, bytes).unwrap();
}

#[tokio::test]
async fn a_leader_that_is_alone_and_has_nothing_to_do_rests() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path(), Backend::Segments)).await;
    server.lead().await;
    server.handle.propose(add(1)).await.unwrap().unwrap();
    // The core tells its metrics whenever anything woke it.
    let mut woken = server.handle.shared.raft.metrics();
    let rests = async {
        while let Ok(Ok(())) = tokio::time::timeout(Duration::from_secs(1), woken.changed()).await {}
    };
    tokio::time::timeout(PATIENCE, rests).await.expect("a second passes in which nothing wakes it");
    assert_eq!(server.handle.propose(add(2)).await.unwrap(), Ok(3), "and works when it is asked to");
    server.handle.stop().await;
}

#[tokio::test]
async fn snapshots_are_taken_and_the_log_is_purged_as_it_grows() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = compaction::Policy {
        log_bytes_min: 3000,
        interval_min: Duration::from_millis(10),
        check_every: Duration::from_millis(5),
    };
    let server = start(Config { snapshots, ..config(dir.path(), Backend::Segments) }).await;
    server.lead().await;
    let deadline = Instant::now() + PATIENCE;
    while server.handle.metrics().purged < Some(200) {
        assert!(Instant::now() < deadline, "the log is purged; seen: {:?}", server.handle.metrics());
        server.handle.propose(add(1)).await.unwrap().unwrap();
    }
    assert!(server.handle.metrics().log_bytes < 100_000, "{:?}", server.handle.metrics());
    server.handle.stop().await;
}

#[tokio::test]
async fn a_bad_command_does_not_fail_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path(), Backend::Segments)).await;
    server.lead().await;
    let syncs_before = server.handle.metrics().syncs;
    let commands = (0..300).map(|i| if i % 3 == 0 { Bytes::from_static(b"bad") } else { add(1) });
    let proposals = commands.map(|command| {
        let handle = server.handle.clone();
        tokio::spawn(async move { handle.propose(command).await })
    });
    let proposals: Vec<_> = proposals.collect();
    for (i, proposal) in proposals.into_iter().enumerate() {
        let outcome = proposal.await.unwrap().unwrap();
        assert_eq!(outcome.is_err(), i % 3 == 0, "command {i}: {outcome:?}");
    }
    assert_eq!(server.sum().total, 200);
    let syncs = server.handle.metrics().syncs - syncs_before;
    assert!(syncs < 150, "{syncs} syncs for 300 commands");
    let huge = Bytes::from(vec![0; limits::COMMAND_BYTES_MAX + 1]);
    assert!(matches!(server.handle.propose(huge).await, Err(ProposeError::TooLarge { .. })));
    let largest = Bytes::from(vec![0; limits::COMMAND_BYTES_MAX]);
    assert_eq!(server.handle.propose(largest).await.unwrap(), Ok(200));
    server.handle.stop().await;
}

#[tokio::test]
async fn a_dropped_server_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path(), Backend::Sled)).await;
    server.lead().await;
    for _ in 0..20 {
        server.handle.propose(add(2)).await.unwrap().unwrap();
    }
    drop(server);
    let deadline = Instant::now() + PATIENCE;
    let server = loop {
        match Handle::start(config(dir.path(), Backend::Sled), Adder::default()).await {
            Ok(handle) => break handle,
            Err(StartError::Store(log_store::Error::Locked { .. })) => {}
            Err(error) => panic!("{error:?}"),
        }
        assert!(Instant::now() < deadline, "a dropped server closes its store");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(server.propose(add(2)).await, Ok(Ok(42)));
    server.stop().await;
}

#[tokio::test]
async fn a_data_directory_of_another_server_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path(), Backend::Segments)).await;
    server.lead().await;
    server.handle.stop().await;
    let other = Config { server_id: 8, ..config(dir.path(), Backend::Segments) };
    let error = Handle::start(other, Adder::default()).await.err().unwrap();
    assert!(matches!(&error, StartError::OtherServer { members, .. } if *members == ["7"]), "{error}");
    let other = config(dir.path(), Backend::Sled);
    let error = Handle::start(other, Adder::default()).await.err().unwrap();
    assert!(matches!(error, StartError::Store(log_store::Error::OtherBackend { .. })), "{error}");
    let server = start(config(dir.path(), Backend::Segments)).await;
    server.handle.stop().await;
}

#[tokio::test]
async fn a_store_that_fails_is_told_as_fatal() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path(), Backend::Segments)).await;
    server.lead().await;
    server.handle.propose(add(1)).await.unwrap().unwrap();
    // The next segment cannot be created without its directory.
    std::fs::remove_dir_all(dir.path().join("raft/log")).unwrap();
    let mut fatal = server.handle.fatal();
    let failed = async {
        while fatal.borrow_and_update().is_none() {
            tokio::select! {
                _ = fatal.changed() => {}
                outcome = server.handle.propose(add(1)) => drop(outcome),
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, failed).await.is_ok(), "the failure is told");
    let reason = fatal.borrow().clone().unwrap();
    assert!(reason.contains("log store failed") && reason.contains("cannot create"), "{reason}");
    let refused = server.handle.propose(add(1)).await;
    assert!(matches!(refused, Err(ProposeError::Stopped | ProposeError::Unknown)), "{refused:?}");
}
