use proto::wire::v1;
use proto::wire::v1::raft_client::RaftClient;
use tokio::sync::watch;

use super::*;
use crate::limits::HAND_OVER_WITHIN;
use crate::raft::MembershipError;
use crate::raft::codec;

/// Promise: what the leader acknowledges is on all servers, and the cluster is made once however often it is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_on_the_leader_is_on_all_three() {
    let trio = Trio::waiting().await;
    for id in [3, 1, 2, 3] {
        trio.servers[&id].handle.bootstrap(&trio.members()).await.unwrap();
    }
    for number in 1..=20 {
        trio.add(number).await;
    }
    trio.all_have(210).await;
    let refused = trio.servers[&1].handle.bootstrap(&[trio.member(1)]).await;
    assert!(matches!(refused, Err(MembershipError::Refused(_))), "it belongs to a cluster: {refused:?}");
    let leader = trio.leader().await;
    for server in trio.servers.values() {
        let members = server.handle.members();
        assert_eq!(members.len(), 3);
        assert!(members.iter().all(|status| status.votes && status.leads == (status.member.id == leader)));
    }
    let follower = trio.others(leader)[0];
    let refused = trio.servers[&follower].handle.propose(add(1)).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { addr: Some(trio.addrs[&leader].to_string()) }));
}

/// Promise: within seconds of the leader's death another one leads, and what was acknowledged is there, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_leader_is_followed_by_another_one_and_nothing_acknowledged_is_lost() {
    let mut trio = Trio::formed().await;
    trio.add(1).await;
    let old = trio.leader().await;
    let (stop, stopped) = watch::channel(false);
    let handle = trio.servers[&old].handle.clone();
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let (handle, stopped) = (handle.clone(), stopped.clone());
            tokio::spawn(async move {
                let (mut acknowledged, mut unknown) = (0, 0);
                while !*stopped.borrow() {
                    match tokio::time::timeout(Duration::from_millis(500), handle.propose(add(1))).await {
                        Ok(Ok(_)) => acknowledged += 1,
                        Ok(Err(ProposeError::Unknown)) | Err(_) => unknown += 1,
                        Ok(Err(_)) => break,
                    }
                }
                (acknowledged, unknown)
            })
        })
        .collect();
    trio.wait_for("writes go on", |trio| trio.servers[&old].sum().commands > 200).await;
    drop(handle);
    let died_at = Instant::now();
    // Whoever still writes there holds it open, so it is cut off, too.
    trio.set_cut_off(old, true);
    trio.kill(old);
    let new = trio.leader().await;
    let elected_in = died_at.elapsed();
    assert!(elected_in < Duration::from_secs(3), "it took {elected_in:?}");
    assert_ne!(new, old);
    stop.send_replace(true);
    let (mut acknowledged, mut unknown) = (1, 0);
    for writer in writers {
        let (known, open) = writer.await.unwrap();
        acknowledged += known;
        unknown += open;
    }
    let total = trio.servers[&new].sum().total;
    assert!((acknowledged..=acknowledged + unknown).contains(&total), "{acknowledged} + {unknown}: {total}");
    trio.set_cut_off(old, false);
    trio.start(old).await;
    trio.add(1000).await;
    trio.all_have(total + 1000).await;
}

/// Promise: a leader that is stopped in order is followed at once, without a silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_hands_over() {
    let mut trio = Trio::formed().await;
    for _ in 0..3 {
        trio.add(1).await;
        let old = trio.leader().await;
        // Its own lease, which begins with its election, has run out.
        sleep(TIMINGS.election_min).await;
        let asked_at = Instant::now();
        trio.servers[&old].handle.stop().await;
        let took = asked_at.elapsed();
        let new: Vec<_> = trio.others(old).into_iter().filter(|id| trio.servers[id].leads()).collect();
        assert_eq!(new.len(), 1, "another one leads before it is gone; seen: {}", trio.seen());
        assert!(took < HAND_OVER_WITHIN, "{took:?}");
        let refused = trio.servers[&old].handle.propose(add(1)).await;
        assert_eq!(refused, Err(ProposeError::Stopped));
        trio.kill(old);
        trio.add(1).await;
        trio.start(old).await;
    }
    trio.all_have(6).await;
}

/// Promise: a server that was cut off comes back without an election: it asked, nobody would have voted for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_returns_disturbs_nobody() {
    let trio = Trio::formed().await;
    trio.add(1).await;
    trio.all_have(1).await;
    let leader = trio.leader().await;
    let term = trio.servers[&leader].handle.metrics().term;
    let away = trio.others(leader)[0];
    trio.set_cut_off(away, true);
    trio.add(2).await;
    // Long enough to have stood several times.
    sleep(TIMINGS.election_max * 4).await;
    assert_eq!(trio.servers[&away].sum().total, 1, "it was cut off");
    assert_eq!(trio.servers[&away].handle.metrics().term, term, "it has not stood");
    trio.set_cut_off(away, false);
    trio.all_have(3).await;
    // Nor does it later, when what it asked meanwhile has arrived.
    sleep(TIMINGS.election_max).await;
    assert_eq!(trio.leader().await, leader);
    assert_eq!(trio.servers[&leader].handle.metrics().term, term);
}

/// Promise: a server that is reached and not meant says so, and takes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_for_another_server_or_cluster_is_refused() {
    let trio = Trio::formed().await;
    trio.add(1).await;
    trio.servers[&1].cluster.set(0xc1);
    let route = v1::Route { wire: 1, wire_least: 1, cluster: 0xc1, from: 2, to: 1 };
    let mut client = RaftClient::connect(format!("http://{}", trio.addrs[&1])).await.unwrap();
    let vote = codec::encode_vote(&openraft::Vote::new(99, 2));
    let last_log = codec::encode_mark(None);
    let strangers = [
        (v1::Route { to: 9, ..route }, "this server is 1, the message is meant for 9"),
        (
            v1::Route { cluster: 0xc2, ..route },
            "this server belongs to cluster c1, the message came from cluster c2",
        ),
        (v1::Route { wire_least: 7, wire: 7, ..route }, "server 2 speaks wire version 7"),
    ];
    for (route, sentence) in strangers {
        let (vote, last_log) = (vote.clone(), last_log.clone());
        let refused = client.vote(v1::RaftVote { route: Some(route), vote, last_log }).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
        assert!(refused.message().starts_with(sentence), "{}", refused.message());
    }
    assert!(trio.servers[&1].handle.metrics().term < 99);
    let asked = v1::RaftPreVote { route: Some(route), last_log };
    let answer = client.pre_vote(asked).await.unwrap().into_inner().result();
    assert_eq!(answer, v1::RaftPreVoteResult::LeaderLives, "who is meant is answered");
}
