use std::time::Duration;

use nix::sys::signal::Signal;
use tests::cluster::{Cluster, live, pids};
use tests::process::{is_alive, mentioning, signal};
use tests::wait::{SOON, until};

const LONG: Duration = Duration::from_secs(60);

/// Promise: an agent that is stopped while its node runs nothing takes the keeper with it, at once.
#[test]
fn an_agent_without_tasks_leaves_no_process() {
    let cluster = Cluster::start(1);
    cluster.wait_for_nodes(1);
    assert_eq!(mentioning(&cluster.agent_dir(0)).len(), 3, "agent, guard and keeper");
    signal(cluster.agent_pid(0), Signal::SIGTERM);
    until(SOON, "nothing of the node is left", || match mentioning(&cluster.agent_dir(0)) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
}

/// Promise: one that runs something stops alone, and its successor finds what runs.
#[test]
fn an_agent_with_tasks_leaves_them_to_its_successor() {
    let mut cluster = Cluster::start(1);
    let before = cluster.serve("steady", 1, "exec sleep 1000");
    let agent = cluster.agent_pid(0);
    signal(agent, Signal::SIGTERM);
    until(SOON, "the agent has ended", || if is_alive(agent) { Err(agent.to_string()) } else { Ok(()) });
    assert!(is_alive(before[0]));
    cluster.kill_agent(0);
    cluster.start_agent(0);
    cluster.wait_for_nodes(1);
    let status = cluster.wait_job("steady", "it runs", |status| status["running"] == 1);
    assert_eq!(pids(&status), before);
}

/// Promise: with `drain_on_shutdown` its work runs elsewhere before it ends, healthy all the time; when it is back the node takes work again.
#[test]
fn an_agent_that_drains_its_node_first_is_missed_by_nobody() {
    let mut cluster = Cluster::start(1);
    let leaver = cluster.add_agent_with(&["--drain-on-shutdown", "30s"]);
    cluster.wait_for_nodes(2);
    cluster.submit(&tests::job::with(
        "web",
        "service",
        2,
        "exec sleep 1000",
        "migrate: {min_healthy_time: 1s}",
    ));
    let on = |status: &serde_json::Value, node: &str| {
        live(status).filter(|alloc| alloc["node_name"] == node).count()
    };
    cluster.wait_job("web", "one on each node", |status| status["healthy"] == 2 && on(status, "n1") == 1);

    let agent = cluster.agent_pid(leaver);
    signal(agent, Signal::SIGTERM);
    until(LONG, "the agent has ended", || {
        let status = cluster.status("web")?;
        assert_eq!(status["healthy"], 2, "all the time: {status}");
        if is_alive(agent) { Err(status.to_string()) } else { Ok(()) }
    });
    let status = cluster.status("web").expect("it is shown");
    assert_eq!((on(&status, "n0"), on(&status, "n1")), (2, 0), "{status}");
    let shown = cluster.run(&["node", "status", "n1"]).stdout;
    assert!(shown.contains("the agent ends"), "{shown}");

    cluster.kill_agent(leaver);
    cluster.start_agent(leaver);
    until(SOON, "the node takes work again", || {
        let node = cluster.http("/v1/nodes/n1")?;
        let is_open = node["drain"].is_null() && node["eligibility"] == "eligible";
        if is_open { Ok(()) } else { Err(node.to_string()) }
    });
}
