use tests::cluster::{Cluster, pids};
use tests::job;

/// Promise 12: the same file twice changes nothing; a change of count leaves running allocations alone; a change of the
/// work replaces them.
#[test]
fn only_what_changed_is_touched() {
    let cluster = Cluster::start(1);
    let before = cluster.serve("app", 2, "exec sleep 1000");
    let again = cluster.submit_with(&job::shell("app", 2, "exec sleep 1000"), &["--detach", "--json"]);
    assert_eq!(again.json()["changed"], false, "{again:?}");

    let after = cluster.serve("app", 3, "exec sleep 1000");
    assert!(before.iter().all(|pid| after.contains(pid)), "{before:?} run on in {after:?}");

    cluster.submit(&job::shell("app", 3, "exec sleep 2000"));
    let status = cluster.wait_job_within(
        std::time::Duration::from_secs(60),
        "app",
        "all are of the new version",
        |status| {
            let fresh = |pid: &u32| !after.contains(pid);
            status["healthy"] == 3 && pids(status).len() == 3 && pids(status).iter().all(fresh)
        },
    );
    assert_eq!(status["version"], 3);
}
