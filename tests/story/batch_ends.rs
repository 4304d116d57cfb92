use tests::cluster::Cluster;
use tests::job;

/// Promise 2: exit 0 is complete; exit 7 is failed, with the code and the last lines in `status`.
#[test]
fn a_batch_job_succeeds_or_says_why_not() {
    let cluster = Cluster::start(1);
    let good = cluster.submit_with(&job::batch("good", "echo done"), &["--wait"]);
    assert_eq!(good.code, 0, "{good:?}");
    cluster.wait_job("good", "complete", |status| status["health"] == "complete");

    let bad = cluster.submit_with(&job::batch("bad", "echo it broke >&2; exit 7"), &["--wait"]);
    assert_eq!(bad.code, 1, "{bad:?}");
    let status = cluster.wait_job("bad", "failing", |status| status["health"] == "failing");
    let task = &status["allocs"][0]["tasks"][0];
    assert_eq!(task["last_end"]["reason"]["exit"], 7, "{status}");
    assert!(task["last_end"]["tail"].as_str().is_some_and(|tail| tail.contains("it broke")), "{status}");
    let shown = cluster.run(&["status", "bad"]);
    assert!(shown.stdout.contains("exit code 7") && shown.stdout.contains("it broke"), "{}", shown.stdout);

    let code = cluster.submit_with(&job::batch("code", "exit 9"), &["--wait", "--exit-code"]);
    assert_eq!(code.code, 9, "`--exit-code` passes the task's own: {code:?}");
}
