use tests::cluster::{Cluster, live, pids};

/// Promise 1: `run` of a service of three: three run, on three nodes where they fit, and the answer says where.
#[test]
fn a_service_of_three_runs_on_three_nodes() {
    let cluster = Cluster::start(3);
    let answer = cluster.submit_with(&tests::job::shell("web", 3, "sleep 1000"), &["--json"]);
    assert_eq!(answer.code, 0, "{answer:?}\n{}", cluster.said());
    let status =
        cluster.wait_job("web", "three run", |status| status["running"] == 3 && status["healthy"] == 3);
    let nodes: std::collections::BTreeSet<String> =
        live(&status).map(|alloc| alloc["node_name"].to_string()).collect();
    assert_eq!(nodes.len(), 3, "{status}");
    assert!(pids(&status).iter().all(|pid| tests::process::is_alive(*pid)));
}
