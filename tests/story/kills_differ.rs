use nix::sys::signal::Signal;
use tests::cluster::{Cluster, pids};
use tests::job;

/// Promise 6: killed from outside and stopped by us are different reasons; a stop that needed SIGKILL is a stop.
#[test]
fn killed_from_outside_and_stopped_by_us_are_told_apart() {
    let cluster = Cluster::start(1);
    cluster.submit(&job::with("victim", "service", 1, "exec sleep 1000", "restart: {delay: 30s}"));
    let status = cluster.wait_job("victim", "it runs", |status| status["running"] == 1);
    tests::process::signal(pids(&status)[0], Signal::SIGKILL);
    let status = cluster.wait_job("victim", "its end is known", |status| {
        status["allocs"][0]["tasks"][0]["last_end"].is_object()
    });
    assert_eq!(status["allocs"][0]["tasks"][0]["last_end"]["reason"]["signal"], 9, "{status}");

    let stubborn = "trap '' TERM; while true; do sleep 0.05; done";
    cluster.submit(&job::with("stubborn", "service", 1, stubborn, "stop_timeout: 500ms"));
    cluster.wait_job("stubborn", "it runs", |status| status["healthy"] == 1);
    assert_eq!(cluster.run(&["stop", "stubborn"]).code, 0);
    let status =
        cluster.wait_job("stubborn", "it has ended", |status| status["allocs"][0]["state"] == "stopped");
    assert_eq!(status["allocs"][0]["tasks"][0]["last_end"]["reason"], "stopped", "{status}");
}
