use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::wait::until;

use crate::cluster::{Cluster, LONG};
use crate::writer::{Writer, note};

/// Two snapshots of 64 MiB of log and more are written, by writers that need some 100 ms for each of some 800 entries.
const PURGED: Duration = Duration::from_secs(300);

/// A job of almost the size that a job may have.
fn large(name: &str, number: u32) -> String {
    let text = format!("{number:08}").repeat(22 << 10);
    format!("name: {name}\ncount: 0\ncommand: \"true\"\nmeta: {{text: \"{text}\"}}\n")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(dir).expect("it is there").flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Promise 22, first half: a server's disk is lost when the beginning of the log has long been purged. An empty server of the same name
/// gets a snapshot, catches up and votes: when the leader is killed it is one of the two that go on.
#[test]
#[ignore = "two minutes: tests/run --long"]
fn an_empty_server_catches_up_from_a_snapshot_where_the_log_is_gone() {
    let mut cluster = Cluster::of_three();
    cluster.serve("web", 3);
    let (before, leader) = (cluster.sleepers(), cluster.leader());
    let broken = cluster.others(leader)[0];
    let raft = |cluster: &Cluster, number: usize| cluster.machines[number].server_dir().join("raft");
    let first = files(&raft(&cluster, leader).join("log")).remove(0);
    let is_over = AtomicBool::new(false);
    let purged = std::thread::scope(|scope| {
        for name in ["large0", "large1", "large2"] {
            let (person, over) = (cluster.person_on(leader), &is_over);
            scope.spawn(move || {
                for number in (0..).take_while(|_| !over.load(Ordering::Relaxed)) {
                    let answer = person.submit(&large(name, number));
                    assert_eq!(answer.code, 0, "{answer:?}");
                }
            });
        }
        let purged = std::panic::catch_unwind(|| {
            until(PURGED, "the beginning of the log is gone", || {
                if first.exists() { Err(format!("{} is there", first.display())) } else { Ok(()) }
            });
        });
        is_over.store(true, Ordering::Relaxed);
        purged
    });
    purged.expect("the log is purged");

    let writer = Writer::start(cluster.person_on(leader));
    cluster.kill_server(broken);
    std::fs::remove_dir_all(cluster.machines[broken].server_dir()).expect("it is ours");
    cluster.start_server(broken);
    cluster.wait_for_servers(3);
    let written = writer.finish();
    assert_eq!(written.refused, [""; 0], "two of three go on");
    let snapshots = files(&raft(&cluster, broken).join("snapshots"));
    assert!(!snapshots.is_empty(), "it has what it was sent: its own log has not grown");

    cluster.kill_server(leader);
    until(LONG, "the two that are left take writes", || {
        let after = cluster.person_on(broken).submit(&note("after"));
        if after.code == 0 { Ok(()) } else { Err(format!("{after:?}")) }
    });
    written.is_kept_by(&cluster);
    assert_eq!(cluster.sleepers(), before);
}
