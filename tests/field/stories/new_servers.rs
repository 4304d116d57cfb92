use crate::cluster::Cluster;
use crate::writer::note;

/// Promise 22, second half: a snapshot is saved, the disks of all three servers are lost, and three new ones that have the cluster's key
/// become the cluster of the snapshot: jobs and allocations are the same, and agents re-attach without restarts.
#[test]
fn three_new_servers_become_the_cluster_of_a_snapshot_and_no_task_notices() {
    let mut cluster = Cluster::of_three();
    cluster.serve("web", 6);
    cluster.submit(&note("kept"));
    let (before, known) = (cluster.sleepers(), ids(&cluster));
    let file = cluster.net.dir().join("kept.snapshot").display().to_string();
    let saved = cluster.run(&["operator", "snapshot", "save", &file]);
    assert_eq!(saved.code, 0, "{saved:?}");

    for number in 0..3 {
        cluster.kill_server(number);
        std::fs::remove_dir_all(cluster.machines[number].server_dir()).expect("ours");
    }
    cluster.credentials.look_again();
    (0..3).for_each(|number| cluster.start_server(number));
    cluster.wait_for_servers(3);
    assert_eq!(cluster.run(&["status", "web"]).code, 3, "they are new");
    assert_eq!(cluster.sleepers(), before, "they have stopped nothing");

    let restored = cluster.run(&["operator", "snapshot", "restore", "--yes", &file]);
    assert_eq!(restored.code, 0, "{restored:?}");
    cluster.wait_for_nodes(3);
    cluster.wait_settled("web", &[0, 1, 2], 6);
    assert_eq!((cluster.sleepers(), ids(&cluster)), (before.clone(), known), "the same as before");
    assert!(cluster.status("kept").is_ok());

    // It goes on from there: what is asked for now runs beside what ran.
    assert_eq!(cluster.run(&["scale", "web", "7"]).code, 0);
    cluster.wait_settled("web", &[0, 1, 2], 7);
    let after = cluster.sleepers();
    assert!(before.iter().all(|pid| after.contains(pid)), "{before:?} {after:?}");
}

/// The allocations of the service.
fn ids(cluster: &Cluster) -> Vec<String> {
    let status = cluster.status("web").expect("it is there");
    let mut ids: Vec<_> = tests::cluster::live(&status).map(|alloc| alloc["id"].to_string()).collect();
    ids.sort_unstable();
    ids
}
