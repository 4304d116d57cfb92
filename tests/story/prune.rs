use tests::cluster::Cluster;
use tests::job;

/// `run --prune DIR` stops what came from the directory and is no longer in it, says which, and leaves the rest alone.
#[test]
fn what_is_no_longer_in_a_directory_is_stopped() {
    let cluster = Cluster::start(1);
    let dir = cluster.dir().join("jobs");
    std::fs::create_dir(&dir).expect("a directory");
    for name in ["stays", "goes"] {
        let text = job::shell(name, 1, "exec sleep 1000");
        std::fs::write(dir.join(format!("{name}.yml")), text).expect("written");
    }
    cluster.submit(&job::shell("alone", 1, "exec sleep 1000"));
    let first = cluster.run(&["run", "--prune", "--detach", "jobs"]);
    assert_eq!(first.code, 0, "{first:?}");
    std::fs::remove_file(dir.join("goes.yml")).expect("removed");
    let second = cluster.run(&["run", "--prune", "--detach", "jobs"]);
    assert_eq!(second.code, 0, "{second:?}");
    assert!(second.stdout.contains("goes: is no longer in the directory and is stopped"), "{second:?}");
    cluster.wait_job("goes", "it is stopped", |status| status["health"] == "stopped");
    for name in ["stays", "alone"] {
        cluster.wait_job(name, "it runs on", |status| status["healthy"] == 1);
    }
}
