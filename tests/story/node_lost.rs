use std::time::Duration;

use tests::cluster::{Cluster, live, pids};

/// Promise 15: a node disappears: its work runs elsewhere; when it comes back its old copies are ended.
#[test]
fn a_lost_nodes_work_runs_elsewhere_once() {
    let mut cluster = Cluster::start(2);
    cluster.serve("web", 2, "exec sleep 1000");
    cluster.kill_node(0);
    let on_n1 = |status: &serde_json::Value| {
        let healthy = live(status)
            .filter(|alloc| alloc["node_name"] == "n1" && alloc["healthy"] == true && alloc["lost"] == false);
        healthy.count() == 2
    };
    cluster.wait_job_within(Duration::from_secs(25), "web", "both run on the other node", on_n1);
    cluster.start_agent(0);
    cluster.wait_for_nodes(2);
    let status = cluster
        .wait_job("web", "exactly one set is left", |status| on_n1(status) && live(status).count() == 2);
    assert_eq!(pids(&status).len(), 2);
}

/// An agent that was cut off for longer than its lease and whose work was replaced ends its old copies when it is back.
#[test]
fn a_frozen_agent_ends_its_replaced_copies_when_it_wakes() {
    let cluster = Cluster::start(2);
    let before = cluster.serve("web", 2, "exec sleep 1000");
    tests::process::signal(cluster.agent_pid(0), nix::sys::signal::Signal::SIGSTOP);
    cluster.wait_job_within(Duration::from_secs(25), "web", "it was replaced", |status| {
        live(status).filter(|alloc| alloc["node_name"] == "n1" && alloc["healthy"] == true).count() == 2
    });
    tests::process::signal(cluster.agent_pid(0), nix::sys::signal::Signal::SIGCONT);
    let status = cluster
        .wait_job("web", "one set is left", |status| live(status).count() == 2 && status["healthy"] == 2);
    let after = pids(&status);
    assert_eq!(after.iter().filter(|pid| before.contains(pid)).count(), 1, "the one on the node that stayed");
    let gone = before.iter().filter(|pid| !after.contains(pid));
    assert!(gone.into_iter().all(|pid| !tests::process::is_alive(*pid)), "the old copy is gone");
}
