use super::*;
use crate::limits::READ_INDEX_WITHIN;
use crate::raft::ReadError;

/// Promise: a reader is answered only by a leader that a majority confirms, and sees all that was acknowledged before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_waits_for_a_majority_and_fails_without_one() {
    let trio = Trio::formed().await;
    trio.add(1).await;
    let old = trio.leader().await;
    let readers: Vec<_> = (0..500)
        .map(|_| {
            let handle = trio.servers[&old].handle.clone();
            tokio::spawn(async move { handle.read_index().await })
        })
        .collect();
    for reader in readers {
        let index = reader.await.unwrap().unwrap();
        assert!(Some(index) <= trio.servers[&old].handle.metrics().applied);
    }
    let follower = trio.others(old)[0];
    let addr = Some(trio.addrs[&old].to_string());
    assert_eq!(trio.servers[&follower].handle.read_index().await, Err(ReadError::NotLeader { addr }));

    trio.set_cut_off(old, true);
    let asked_at = Instant::now();
    let refused = trio.servers[&old].handle.read_index().await;
    assert_eq!(refused, Err(ReadError::Unconfirmed));
    assert!(asked_at.elapsed() < READ_INDEX_WITHIN * 2, "{:?}", asked_at.elapsed());
    assert!(trio.servers[&old].leads(), "it does not know yet, which is why it must ask");
    trio.wait_for("the others have elected one", |trio| {
        trio.others(old).iter().any(|id| trio.servers[id].leads())
    })
    .await;
    let new = trio.others(old).into_iter().find(|id| trio.servers[id].leads()).unwrap();
    trio.servers[&new].handle.propose(add(2)).await.unwrap().unwrap();
    trio.servers[&new].handle.read_index().await.unwrap();
    assert_eq!(trio.servers[&new].sum().total, 3);
    assert_eq!(trio.servers[&old].handle.read_index().await, Err(ReadError::Unconfirmed));

    trio.set_cut_off(old, false);
    trio.all_have(3).await;
    trio.wait_for("it follows", |trio| !trio.servers[&old].leads()).await;
    assert!(matches!(trio.servers[&old].handle.read_index().await, Err(ReadError::NotLeader { .. })));
}
