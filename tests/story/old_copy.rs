use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use tests::cluster::Cluster;
use tests::job;
use tests::process::is_alive;
use tests::wait::{SOON, until};

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().expect("there is cp");
    assert!(copied.success());
}

fn wait_said(cluster: &Cluster, text: &str) {
    until(SOON, &format!("somebody says {text:?}"), || {
        let said = cluster.said();
        if said.contains(text) { Ok(()) } else { Err(said) }
    });
}

/// Promise 18, where there is one server: it comes back with an old copy of its data directory, in which half of what runs is not known
/// yet. Its agent stops nothing, neither while the server is behind nor later, when it gives what it starts the numbers of what runs.
#[test]
fn a_server_with_an_old_copy_of_its_data_stops_nothing() {
    let mut cluster = Cluster::start(1);
    let mut running = cluster.serve("old", 2, "exec sleep 1000");
    let aside = cluster.dir().join("aside");
    cluster.kill_server(Signal::SIGTERM);
    copy(&cluster.server_dir(), &aside);
    cluster.start_server();
    cluster.wait_for_nodes(1);
    running.extend(cluster.serve("late", 2, "exec sleep 1000"));

    cluster.kill_server(Signal::SIGKILL);
    std::fs::remove_dir_all(cluster.server_dir()).expect("ours");
    copy(&aside, &cluster.server_dir());
    cluster.start_server();
    wait_said(&cluster, "these servers are behind what this agent has seen");
    assert_eq!(cluster.run(&["status", "late"]).code, 3, "the copy is old");
    assert!(running.iter().all(|pid| is_alive(*pid)), "{}", cluster.said());

    // Past what the agent has seen: it follows again.
    for number in 0..30 {
        cluster.submit(&format!("name: note{number}\ncount: 0\ncommand: \"true\"\n"));
    }
    cluster.submit(&job::shell("new", 2, "exec sleep 1000"));
    wait_said(&cluster, "servers use the number of something else that runs here; it goes on");
    cluster.wait_job("old", "what the copy knows is reported", |status| status["healthy"] == 2);
    assert!(running.iter().all(|pid| is_alive(*pid)), "{}", cluster.said());
}
