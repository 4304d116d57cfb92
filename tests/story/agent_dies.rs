use std::time::Duration;

use tests::cluster::{Cluster, pids};
use tests::job;
use tests::wait::{SOON, until};

/// Promise 14: an agent's process is killed, twenty times, and comes back: same processes, no restart, no lost output.
#[test]
fn tasks_do_not_notice_that_their_agent_was_killed() {
    let mut cluster = Cluster::start(1);
    let before = cluster.serve("steady", 3, "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.02; done");
    for _ in 0..20 {
        cluster.kill_agent(0);
        cluster.start_agent(0);
        cluster.wait_for_nodes(1);
    }
    let status = cluster
        .wait_job("steady", "all of it runs", |status| status["running"] == 3 && status["healthy"] == 3);
    assert_eq!(pids(&status), before, "the same processes");
    for alloc in status["allocs"].as_array().expect("allocations") {
        assert_eq!(alloc["tasks"][0]["attempt"], 1, "no restart: {alloc}");
    }
    let logs = cluster.run(&["logs", "steady.steady.0"]);
    let numbers: Vec<u64> =
        logs.stdout.lines().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    assert!(numbers.len() > 20, "{logs:?}");
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "no line is missing or doubled");
}

/// Promise 14: an end that happened while nobody watched is known with its code, and the policy goes on from there.
#[test]
fn an_end_during_the_agents_absence_is_known() {
    let mut cluster = Cluster::start(1);
    let gate = cluster.dir().join("gate");
    let script = format!("while [ ! -e {} ]; do sleep 0.02; done; exit 5", gate.display());
    cluster.submit(&job::with(
        "late",
        "service",
        1,
        &script,
        "restart: {attempts: 3, delay: 60s, jitter: 0%}",
    ));
    let status = cluster.wait_job("late", "it runs", |status| status["running"] == 1);
    let pid = pids(&status)[0];
    cluster.kill_agent(0);
    std::fs::write(&gate, "").expect("writable");
    until(SOON, "the task has ended", || {
        if tests::process::is_alive(pid) { Err(pid.to_string()) } else { Ok(()) }
    });
    cluster.start_agent(0);
    let status = cluster
        .wait_job("late", "its end is known", |status| status["allocs"][0]["tasks"][0]["phase"] == "backoff");
    let task = &status["allocs"][0]["tasks"][0];
    assert_eq!((&task["last_end"]["reason"]["exit"], &task["attempt"]), (&5.into(), &1.into()), "{status}");
}

/// Promise 17: servers are away: tasks run on, restart policies work, nothing is restarted when they come back.
#[test]
fn agents_need_no_server_to_keep_work_going() {
    let mut cluster = Cluster::start(1);
    let steady = cluster.serve("steady", 2, "exec sleep 1000");
    let crash = cluster.serve("crash", 1, "exec sleep 1000");
    cluster.kill_server(nix::sys::signal::Signal::SIGKILL);
    tests::process::signal(crash[0], nix::sys::signal::Signal::SIGKILL);
    let marker = cluster.agent_dir(0).join("allocs");
    until(SOON, "the node has started it again by itself", || {
        let found = tests::process::mentioning(&marker);
        let again = found.iter().any(|pid| !steady.contains(pid) && !crash.contains(pid));
        if again { Ok(()) } else { Err(format!("{found:?}")) }
    });
    cluster.start_server();
    cluster.wait_for_nodes(1);
    let status = cluster.wait_job("crash", "the restart is known", |status| {
        status["allocs"][0]["tasks"][0]["attempt"] == 2 && status["running"] == 1
    });
    assert_eq!(status["allocs"].as_array().map(Vec::len), Some(1), "{status}");
    let status = cluster
        .wait_job_within(Duration::from_secs(10), "steady", "still runs", |status| status["running"] == 2);
    assert_eq!(pids(&status), steady);
}
