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

/// Promise 6: what the kernel killed for its memory and what ran for too long are two more reasons, and people read all four.
#[test]
fn memory_and_time_are_reasons_of_their_own() {
    let cluster = Cluster::start(1);
    let once = "restart: {attempts: 0}\nreschedule: {attempts: 0}";
    let late = cluster.submit_with(
        &job::with(
            "late",
            "batch",
            1,
            "exec sleep 1000",
            &format!("{once}\nmax_run: 1s\nstop_timeout: 200ms"),
        ),
        &["--wait", "--exit-code"],
    );
    assert_eq!(late.code, 124, "{late:?}");
    let status = cluster.status("late").expect("it is there");
    assert_eq!(status["allocs"][0]["tasks"][0]["last_end"]["reason"], "timeout", "{status}");
    assert!(cluster.run(&["status", "late"]).stdout.contains("max_run"), "{status}");

    if !nix::unistd::geteuid().is_root() {
        eprintln!("not checked: only an agent that is root can limit memory");
        return;
    }
    let greedy = "text=x; while true; do text=$text$text; done";
    let greedy = format!(
        "name: greedy\ntype: batch\ncommand: /bin/sh\nargs: [-c, '{greedy}']\nresources: {{cpu: 1m, memory: 16MiB}}\n{once}\n"
    );
    let greedy = cluster.submit_with(&greedy, &["--wait", "--exit-code"]);
    assert_eq!(greedy.code, 137, "{greedy:?}");
    let status = cluster.status("greedy").expect("it is there");
    assert_eq!(status["allocs"][0]["tasks"][0]["last_end"]["reason"], "oom", "{status}");
    let shown = cluster.run(&["status", "greedy"]).stdout;
    assert!(shown.contains("memory"), "{shown}");
}
