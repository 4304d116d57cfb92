use std::time::Duration;

use nix::sys::signal::Signal;
use tests::process::signal;
use tests::wait::until;

use crate::cluster::{Cluster, LONG};
use crate::writer::{Writer, note};

/// Promise 17: all servers are away for longer than any lease: tasks run on, restart policies work, nothing is restarted when they come
/// back.
fn tasks_run_on_for(away: Duration) {
    let mut cluster = Cluster::of_three();
    cluster.serve("web", 6);
    let before = cluster.sleepers();
    (0..3).for_each(|number| cluster.kill_server(number));
    signal(before[0], Signal::SIGKILL);
    until(LONG, "its agent has started it again", || {
        let now = cluster.sleepers();
        if now.len() == 6 && !now.contains(&before[0]) { Ok(()) } else { Err(format!("{now:?}")) }
    });
    std::thread::sleep(away);
    let alone = cluster.sleepers();
    (0..3).for_each(|number| cluster.start_server(number));
    cluster.wait_for_servers(3);
    cluster.wait_for_nodes(3);
    cluster.wait_settled("web", &[0, 1, 2], 6);
    // Longer than a lease from now on: nobody is judged by the time when nobody could answer.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(cluster.sleepers(), alone);
    assert!(before[1..].iter().all(|pid| alone.contains(pid)), "what was not killed is what it was");
}

#[test]
fn all_servers_are_away_for_half_a_minute_and_tasks_run_on() {
    tasks_run_on_for(Duration::from_secs(30));
}

#[test]
#[ignore = "ten minutes: tests/run --long"]
fn all_servers_are_away_for_ten_minutes_and_tasks_run_on() {
    tasks_run_on_for(Duration::from_secs(600));
}

/// Promise 22: a server's disk is lost ([`super::lost_disk`] has it when the log is gone, too). An empty one of the same name takes its place, catches up and votes; there are three as before.
#[test]
#[ignore = "half a minute: tests/run --long"]
fn a_server_that_lost_its_disk_is_replaced_by_an_empty_one() {
    let mut cluster = Cluster::of_three();
    cluster.serve("web", 3);
    let before = cluster.sleepers();
    let leader = cluster.leader();
    let broken = cluster.others(leader)[0];
    let writer = Writer::start(cluster.person_on(leader));
    cluster.kill_server(broken);
    std::fs::remove_dir_all(cluster.machines[broken].server_dir()).expect("it is ours");
    cluster.start_server(broken);
    cluster.wait_for_servers(3);
    let written = writer.finish();
    assert_eq!(written.refused, [""; 0], "two of three go on");
    assert_eq!(cluster.members().expect("a list").len(), 3);
    cluster.kill_server(leader);
    let after = cluster.person_on(broken).submit(&note("after"));
    assert_eq!(after.code, 0, "it is one of the two that are left, and both are needed: {after:?}");
    written.is_kept_by(&cluster);
    assert_eq!(cluster.sleepers(), before);
}
