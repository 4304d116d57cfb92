use std::time::Duration;

use tests::cluster::Cluster;
use tests::job;
use tests::wait::SOON;

/// Promise 3: a service that exits is started again by its policy, exit 0 too, and moves when its tries are used up.
#[test]
fn a_service_that_exits_is_started_again_and_moves_when_its_tries_are_used_up() {
    let cluster = Cluster::start(2);
    let policy = "restart: {attempts: 2, interval: 5m, delay: 200ms, backoff: constant, jitter: 0%}\nreschedule: {delay: 300ms}";
    cluster.submit(&job::with("flaky", "service", 1, "exit 0", policy));
    let status = cluster.wait_job("flaky", "it has moved", |status| {
        status["allocs"].as_array().is_some_and(|allocs| allocs.len() >= 2)
    });
    let first =
        status["allocs"].as_array().and_then(|allocs| allocs.iter().find(|alloc| alloc["state"] == "failed"));
    let first = first.unwrap_or_else(|| panic!("one has failed: {status}"));
    assert_eq!(first["tasks"][0]["attempt"], 3, "two restarts are three starts: {first}");
    let replacement = status["allocs"]
        .as_array()
        .and_then(|allocs| allocs.iter().find(|alloc| alloc["replaces"] == first["id"]));
    let replacement = replacement.unwrap_or_else(|| panic!("it was replaced: {status}"));
    assert_ne!(replacement["node"], first["node"], "on another node, since one fits");
}

/// Promise 3: starts are spaced by the delay, and `status` shows the try, the reason and the time of the next.
#[test]
fn between_two_tries_the_status_says_when_and_why() {
    let cluster = Cluster::start(1);
    let policy = "restart: {attempts: 3, interval: 5m, delay: 30s, jitter: 0%}";
    cluster.submit(&job::with("slow", "service", 1, "echo oh no >&2; exit 3", policy));
    let status = cluster.wait_job("slow", "it waits for its next try", |status| {
        status["allocs"][0]["tasks"][0]["phase"] == "backoff"
    });
    let task = &status["allocs"][0]["tasks"][0];
    assert!(task["next_start_at"].is_string(), "{task}");
    assert_eq!((&task["window_try"], &task["window_tries"]), (&2.into(), &4.into()), "{task}");
    let shown = cluster.run(&["status", "slow"]).stdout;
    assert!(shown.contains("exit code 3") && shown.contains("of 4"), "{shown}");
}

/// Promise 4: `attempts: -1` never gives up on the node.
#[test]
fn without_a_limit_the_node_never_gives_up() {
    let cluster = Cluster::start(1);
    cluster.submit(&job::shell("loop", 1, "exit 1"));
    let many = |status: &serde_json::Value| {
        status["allocs"][0]["tasks"][0]["attempt"].as_u64().is_some_and(|attempt| attempt > 8)
    };
    let status = cluster.wait_job_within(SOON + Duration::from_secs(20), "loop", "many tries", many);
    assert_eq!(status["allocs"].as_array().map(Vec::len), Some(1), "always the same allocation: {status}");
}
