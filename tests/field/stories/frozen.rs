use std::time::Duration;

use tests::wait::until;

use crate::cluster::{Cluster, LONG};
use crate::writer::{Writer, note};

/// Promise 20: the leader's process stands still. Another leads; when the first goes on it acknowledges nothing that is not kept, and
/// nothing is disturbed.
#[test]
#[ignore = "half a minute: tests/run --long"]
fn a_leader_that_stands_still_is_replaced_and_does_no_harm_when_it_goes_on() {
    let cluster = Cluster::of_three();
    cluster.serve("web", 3);
    let before = cluster.sleepers();
    let leader = cluster.leader();
    let others = cluster.others(leader);
    cluster.machines[leader].freeze_server(true);
    let writer = Writer::start(cluster.person_on(others[0]));
    until(LONG, "another leads", || {
        let answer = cluster.person_on(others[0]).submit(&note("after"));
        if answer.code == 0 { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    // Longer than a node may be silent: its own agent has found the others.
    std::thread::sleep(Duration::from_secs(6));
    cluster.machines[leader].freeze_server(false);
    let late = cluster.person_on(leader).submit(&note("late"));
    assert_eq!(late.code, 0, "it passes on what it is asked: {late:?}");
    std::thread::sleep(Duration::from_secs(2));
    let written = writer.finish();
    assert!(written.acknowledged.len() > 10, "{written:?}");
    cluster.wait_for_servers(3);
    written.is_kept_by(&cluster);
    assert!(cluster.status("late").is_ok() && cluster.status("after").is_ok());
    cluster.wait_settled("web", &[0, 1, 2], 3);
    assert_eq!(cluster.sleepers(), before, "no node was lost, no task started again");
}

/// Promise 15: an agent's process stands still, its tasks go on: replaced, and settled when it goes on.
#[test]
#[ignore = "half a minute: tests/run --long"]
fn an_agent_that_stands_still_is_replaced_and_settled_when_it_goes_on() {
    let cluster = Cluster::of_three();
    cluster.serve("web", 3);
    let leader = cluster.leader();
    let others = cluster.others(leader);
    let frozen = others[0];
    cluster.machines[frozen].freeze_agent(true);
    cluster.wait_settled_elsewhere("web", &[leader, others[1]], 3);
    cluster.machines[frozen].freeze_agent(false);
    cluster.wait_for_nodes(3);
    cluster.wait_settled("web", &[0, 1, 2], 3);
}
