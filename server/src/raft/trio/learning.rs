use std::sync::atomic::Ordering::SeqCst;

use super::*;

/// Promise: a server that was away for so long that the log it needs is gone gets a snapshot, in pieces, and on from where the connection
/// broke.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_far_behind_gets_a_snapshot_that_survives_a_broken_connection() {
    const BALLAST: usize = 4 << 20;
    let mut trio = Trio::waiting().await;
    for id in 1..=3 {
        trio.kill(id);
    }
    trio.ballast = BALLAST;
    for id in 1..=3 {
        trio.start(id).await;
    }
    trio.servers[&1].handle.bootstrap(&trio.members()).await.unwrap();
    trio.add(1).await;
    trio.all_have(1).await;
    let leader = trio.leader().await;
    let away = trio.others(leader)[0];
    trio.kill(away);
    for _ in 0..2 {
        for _ in 0..30 {
            trio.add(1).await;
        }
        trio.servers[&leader].handle.snapshot_now().await.unwrap();
    }
    trio.wait_for("the log is purged", |trio| trio.servers[&leader].handle.metrics().purged > Some(20)).await;
    trio.add(1).await;
    let line = trio.lines.line(leader, away);
    line.breaks_at.store(3 << 20, SeqCst);
    trio.start(away).await;
    trio.all_have(62).await;
    assert_eq!(line.breaks_at.load(SeqCst), u64::MAX, "the connection broke");
    let sent = line.snapshot_bytes.load(SeqCst);
    assert!(sent < BALLAST as u64 + (2 << 20), "{sent} bytes were sent: more than what was lost on the way");
    trio.wait_for("it has the snapshot", |trio| trio.servers[&away].handle.metrics().snapshot > Some(20))
        .await;
    assert_eq!(trio.leader().await, leader, "meanwhile the leader kept its followers");

    // What it got is on its disk.
    trio.kill(away);
    trio.start(away).await;
    trio.add(1).await;
    trio.all_have(63).await;
}

/// Promise: a write that needs longer than a heartbeat on its way arrives, and nobody stands for election meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_write_goes_over_a_slow_link() {
    let trio = Trio::formed().await;
    trio.add(1).await;
    trio.all_have(1).await;
    let leader = trio.leader().await;
    let term = trio.servers[&leader].handle.metrics().term;
    for other in trio.others(leader) {
        trio.lines.line(leader, other).log_rate.store(300 << 10, SeqCst);
    }
    let mut large = add(2).to_vec();
    large.resize(200 << 10, 0);
    let handle = &trio.servers[&leader].handle;
    let large = || handle.propose(large.clone().into());
    let (one, other) = tokio::join!(large(), large());
    let mut totals = [one.unwrap().unwrap(), other.unwrap().unwrap()];
    totals.sort_unstable();
    assert_eq!(totals, [3, 5]);
    trio.all_have(5).await;
    assert_eq!(trio.servers[&leader].handle.metrics().term, term);
}

/// Promise: one server becomes three and two again, while it works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_and_shrinks() {
    let mut trio = Trio::waiting().await;
    trio.kill(1);
    let listener = trio.listen(1).await;
    // A fresh directory, because the first start makes the cluster.
    trio.dirs.insert(1, tempfile::tempdir().unwrap());
    trio.start_with(1, listener, Bootstrap::Alone).await;
    trio.add(1).await;
    let first = trio.servers[&1].handle.clone();
    for id in [2, 3] {
        first.add_learner(&trio.member(id)).await.unwrap();
    }
    trio.all_have(1).await;
    assert_eq!(first.members().iter().filter(|status| status.votes).count(), 1, "who learns does not vote");
    first.promote(&[2, 3]).await.unwrap();
    first.promote(&[2, 3]).await.unwrap();
    trio.add(2).await;
    trio.all_have(3).await;
    assert!(first.members().iter().all(|status| status.votes));
    assert!(first.members().iter().all(|status| status.member.id == 1 || status.matched.is_some()));

    first.remove(3).await.unwrap();
    first.remove(3).await.unwrap();
    trio.kill(3);
    trio.add(4).await;
    assert_eq!(first.members().len(), 2);
    trio.all_have(7).await;
    trio.kill(2);
    let alone = first.propose(add(1));
    assert!(tokio::time::timeout(Duration::from_secs(1), alone).await.is_err(), "one of two is no majority");
    trio.start(2).await;
    trio.all_have(8).await;
}
