use tests::cluster::{Cluster, pids};
use tests::job;

/// Promise 9: `restart` reaches what runs, one by one or at once; of a failed allocation it starts a replacement; of a stopped
/// job it is refused with the command that would start it.
#[test]
fn a_person_restarts_a_job_an_allocation_and_what_was_given_up() {
    let cluster = Cluster::start(1);
    let before = cluster.serve("app", 2, "exec sleep 1000");
    assert_eq!(cluster.run(&["restart", "app", "--at-once"]).code, 0);
    let fresh = |status: &serde_json::Value, old: &[u32]| {
        status["healthy"] == 2 && pids(status).len() == 2 && pids(status).iter().all(|pid| !old.contains(pid))
    };
    let status = cluster.wait_job("app", "all are new", |status| fresh(status, &before));
    let before = pids(&status);

    let answer = cluster.run(&["restart", "app.app.1", "--json"]);
    assert_eq!((answer.code, &answer.json()["changed"]), (0, &true.into()), "{answer:?}");
    let status = cluster.wait_job("app", "one is new", |status| {
        status["healthy"] == 2 && pids(status).iter().filter(|pid| before.contains(pid)).count() == 1
    });
    assert_eq!(status["version"], 2, "an allocation's restart is no new version");
    let why = cluster.run(&["why", "app.app.1"]).stdout;
    assert!(why.contains("it was there before and was restarted in its place"), "{why}");

    let fail = "restart: {attempts: 0, on_exhausted: fail}";
    cluster.submit(&job::with("bad", "service", 1, "test -e /nonexistent", fail));
    cluster.wait_job("bad", "it has failed for good", |status| status["health"] == "failing");
    let told = cluster.run(&["why", "bad.bad.0"]).stdout;
    assert!(told.contains("once the cause is gone, `minijob restart bad.bad.0`"), "{told}");
    assert_eq!(cluster.run(&["restart", "bad.bad.0"]).code, 0);
    cluster.wait_job("bad", "it was replaced", |status| {
        status["allocs"].as_array().is_some_and(|allocs| allocs.len() == 2)
    });

    assert_eq!(cluster.run(&["stop", "app"]).code, 0);
    let refused = cluster.run(&["restart", "app"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("`minijob start app` starts it again"), "{refused:?}");
    assert_eq!(cluster.run(&["start", "app"]).code, 0);
    cluster.wait_job("app", "it runs again", |status| status["healthy"] == 2);
}
