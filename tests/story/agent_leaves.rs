use nix::sys::signal::Signal;
use tests::cluster::{Cluster, pids};
use tests::process::{is_alive, mentioning, signal};
use tests::wait::{SOON, until};

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
