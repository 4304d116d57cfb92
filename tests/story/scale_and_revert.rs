use tests::cluster::{Cluster, pids};
use tests::job;

/// Promise 33: `scale` leaves what runs alone, `history` says what changed, `revert` goes back; what is asked twice changes
/// nothing, and `plan` says beforehand what a file would do.
#[test]
fn a_count_is_changed_and_taken_back() {
    let cluster = Cluster::start(1);
    let before = cluster.serve("app", 1, "exec sleep 1000");
    let scaled = cluster.run(&["scale", "app", "2", "--json"]).json();
    assert_eq!((&scaled["changed"], &scaled["version"]), (&true.into(), &2.into()));
    assert_eq!(cluster.run(&["scale", "app", "2", "--json"]).json()["changed"], false);
    let status = cluster.wait_job("app", "two run", |status| status["running"] == 2);
    assert!(before.iter().all(|pid| pids(&status).contains(pid)), "the first runs on: {status}");

    std::fs::write(cluster.dir().join("app.yml"), job::shell("app", 2, "exec sleep 2000")).expect("written");
    let plan = cluster.run(&["plan", "--exit-code", "--json", "app.yml"]);
    assert_eq!(
        (plan.code, &plan.json()["items"][0]["groups"]["app"]["replaced"]),
        (10, &2.into()),
        "{plan:?}"
    );
    assert_eq!(pids(&cluster.status("app").expect("a status")), pids(&status), "a plan touches nothing");

    assert_eq!(cluster.run(&["revert", "app", "1"]).code, 0);
    let status = cluster.wait_job("app", "one runs", |status| pids(status).len() == 1);
    assert_eq!(status["version"], 3);
    let history = cluster.run(&["history", "app", "--json"]).json();
    assert_eq!(history["items"][0]["message"], "reverted to version 1");
    assert_eq!(history["items"][1]["changes"][0], "groups.app.count");
    assert_eq!(cluster.run(&["revert", "app", "9"]).code, 3, "it is not kept");
    let exported = cluster.run(&["export", "app"]).stdout;
    assert_eq!(
        cluster.submit_with(&exported, &["--detach", "--json"]).json()["changed"],
        false,
        "{exported}"
    );
}
