//! A snapshot of three servers becomes the state of three new ones.

use futures::StreamExt as _;

use super::*;
use crate::core::archive;
use crate::core::state::write_snapshot;

async fn save(three: &Three, number: usize) -> Vec<u8> {
    let ask = three.request(v1::GetSnapshotRequest::default());
    let mut parts = three.control(number).await.get_snapshot(ask).await.expect("a stream").into_inner();
    let mut file = Vec::new();
    while let Some(part) = parts.next().await {
        file.extend(part.expect("a part").data);
    }
    file
}

async fn restore(three: &Three, number: usize, file: &[u8]) -> Result<v1::WriteReply, Error> {
    let request_id = random_request_id().0.to_be_bytes().to_vec();
    let part = |(at, data): (usize, &[u8])| v1::RestoreSnapshotRequest {
        request_id: if at == 0 { request_id.clone().into() } else { Default::default() },
        force: false,
        data: data.to_vec().into(),
    };
    let parts: Vec<_> = file.chunks(1000).enumerate().map(part).collect();
    let ask = three.request(futures::stream::iter(parts));
    let answer = three.control(number).await.restore_snapshot(ask).await;
    answer.map(tonic::Response::into_inner).map_err(|status| Error::from(&status))
}

fn bytes_of(server: &Handle) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_snapshot(&server.cluster().snapshot(), &mut bytes).unwrap();
    bytes
}

/// Method: what comes through a follower and in many parts reaches all three, byte by byte the same; a damaged file changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_new_servers_become_the_cluster_of_a_snapshot() {
    let mut old = Three::formed().await;
    for name in ["web", "shop"] {
        old.put(0, name).await;
    }
    let file = save(&old, 1).await;
    let saved = archive::read(file.as_slice()).expect("it is whole");
    for number in 0..3 {
        old.stop(number).await;
    }

    let new = Three::formed().await;
    let leader = new.leader().await;
    let follower = (leader + 1) % 3;
    let mut damaged = file.clone();
    let middle = file.len() / 2;
    damaged[middle] ^= 1;
    let refused = restore(&new, follower, &damaged).await.expect_err("it is damaged");
    assert_eq!(refused.kind, ErrorKind::Invalid, "{refused:?}");
    assert!(new.jobs(follower).await.is_empty());

    let members = new.members(0).await.items.len();
    assert!(restore(&new, follower, &file).await.expect("it is whole").changed);
    assert_eq!(new.jobs(follower).await, names(&["shop", "web"]));
    assert!(new.put(follower, "more").await.changed);
    assert_eq!(new.members(0).await.items.len(), members, "the servers are those that are there");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let states: BTreeSet<Vec<u8>> = new.running().map(|(_, server)| bytes_of(server)).collect();
        if states.len() == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "all three have the same state");
        sleep(Duration::from_millis(50)).await;
    }
    for (_, server) in new.running() {
        let state = server.cluster().snapshot();
        assert_eq!(state.previous_incarnation, Some(saved.meta.incarnation));
        assert!(state.staging.is_none() && state.next_id > saved.state.next_id);
    }
}
