use std::time::Duration;

use tests::cluster::{Cluster, pids};
use tests::job;
use tests::wait::{SOON, until};

/// Promise 7: a task that ignores SIGTERM is killed at its timeout, with its children, also those that made themselves a
/// session of their own; the allocation ends only when all are gone.
#[test]
fn a_stop_ends_the_whole_tree() {
    let cluster = Cluster::start(1);
    let script = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; while true; do sleep 0.05; done' &) ; sh -c 'while true; do sleep 0.05; done' & while true; do sleep 0.05; done";
    cluster.submit(&job::with("tree", "service", 1, script, "stop_timeout: 300ms"));
    let status = cluster.wait_job("tree", "it is healthy", |status| status["healthy"] == 1);
    let main = pids(&status)[0];
    let marker = cluster.agent_dir(0).join("allocs");
    let of_task = || tests::process::mentioning(&marker);
    until(SOON, "main, child and the one in its own session run", || {
        let found = of_task();
        if found.len() >= 3 { Ok(()) } else { Err(format!("{found:?}")) }
    });
    assert_eq!(cluster.run(&["stop", "tree"]).code, 0);
    cluster.wait_job_within(Duration::from_secs(15), "tree", "it has ended", |status| {
        status["allocs"][0]["state"] == "stopped"
    });
    assert!(!tests::process::is_alive(main));
    assert_eq!(of_task(), Vec::<u32>::new(), "nothing of the tree is left when the end is reported");
}
