use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::writer::{Writer, note};

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().expect("there is cp");
    assert!(copied.success());
}

/// Promise 18: a server comes back with an old copy of its data directory, under load. It catches up, then the leader is killed and the
/// two that are left go on. No agent stops anything, and nothing that was acknowledged is lost.
#[test]
fn a_server_that_was_restored_from_an_old_copy_catches_up_and_nothing_is_stopped() {
    let mut cluster = Cluster::of_three();
    cluster.serve("web", 3);
    let leader = cluster.leader();
    let old = cluster.others(leader)[0];
    let (data, aside) = (cluster.machines[old].server_dir(), cluster.machines[old].dir().join("aside"));
    cluster.end_server(old, Signal::SIGTERM);
    copy(&data, &aside);
    cluster.start_server(old);
    cluster.wait_for_servers(3);

    let writer = Writer::start(cluster.person_on(leader));
    cluster.submit(&tests::job::shell("late", 3, "exec sleep 100000"));
    cluster.wait_job("late", "all of it is healthy", |status| status["healthy"] == 3);
    let running = cluster.sleepers();
    assert_eq!(running.len(), 6);
    cluster.kill_server(old);
    std::fs::remove_dir_all(&data).expect("ours");
    copy(&aside, &data);
    cluster.start_server(old);
    cluster.wait_for_servers(3);
    let written = writer.finish();
    assert_eq!(written.refused, [""; 0], "two of three go on");

    cluster.kill_server(leader);
    let after = cluster.person_on(old).submit(&note("after"));
    assert_eq!(after.code, 0, "it is one of the two that are left, and both are needed: {after:?}");
    cluster.wait_for_nodes(3);
    written.is_kept_by(&cluster);
    for job in ["web", "late"] {
        cluster.wait_job(job, "all of it is healthy", |status| status["healthy"] == 3);
    }
    assert_eq!(cluster.sleepers(), running, "nothing was stopped, nothing started again");
}
