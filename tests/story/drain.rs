use std::time::Duration;

use serde_json::Value;
use tests::cluster::{Cluster, live};
use tests::wait::{SOON, until};

const LONG: Duration = Duration::from_secs(60);

fn on<'s>(status: &'s Value, node: &'s str) -> impl Iterator<Item = &'s Value> {
    live(status).filter(move |alloc| alloc["node_name"] == node)
}

fn node(cluster: &Cluster, name: &str) -> Value {
    cluster.http(&format!("/v1/nodes/{name}")).expect("it is shown")
}

fn wait_drained(cluster: &Cluster, name: &str) {
    until(LONG, "the node is drained", || {
        let view = node(cluster, name);
        if view["drain"]["state"] == "drained" { Ok(()) } else { Err(view.to_string()) }
    });
}

/// Promise 30: drain moves work at the pace of `migrate`, replacements healthy before the next stop; batch may finish; it is
/// complete only when nothing is left.
#[test]
fn a_drained_node_is_empty_in_the_end_and_nobody_misses_a_thing() {
    let cluster = Cluster::start(3);
    let pace = "migrate: {max_parallel: 1, min_healthy_time: 2s}";
    cluster.submit(&tests::job::with("web", "service", 6, "exec sleep 100000", pace));
    cluster.wait_job("web", "all are healthy", |status| status["healthy"] == 6);
    let gate = cluster.dir().join("gate");
    let script = format!("while ! test -e {}; do sleep 0.05; done", gate.display());
    cluster.submit(&tests::job::with("sum", "batch", 1, &script, "node: n0"));
    cluster.submit(&tests::job::with("log", "system", 1, "exec sleep 100000", ""));
    cluster.wait_job("sum", "it runs", |status| status["running"] == 1);
    cluster.wait_job("log", "it runs everywhere", |status| status["healthy"] == 3);

    let mut drain = cluster.command(&["node", "drain", "n0", "-m", "new kernel"]);
    let drain = drain.stdout(std::process::Stdio::piped()).spawn().expect("the program runs");
    let was_there = std::cell::Cell::new(false);
    cluster.wait_job_within(LONG, "web", "what was on n0 is elsewhere", |status| {
        assert_eq!(
            (&status["healthy"], &status["running"]),
            (&6.into(), &6.into()),
            "all the time: {status}"
        );
        assert!(live(status).count() <= 7, "one at a time: {status}");
        was_there.set(was_there.get() || live(status).count() == 7);
        on(status, "n0").count() == 0 && live(status).count() == 6
    });
    assert!(was_there.get(), "the replacement was there first");
    let view = node(&cluster, "n0");
    assert_eq!(
        (&view["drain"]["state"], &view["drain"]["message"]),
        (&"draining".into(), &"new kernel".into())
    );
    assert_eq!(
        view["drain"]["left"], 2,
        "the batch job may finish, and what is on every node goes last: {view}"
    );
    let why = cluster.run(&["why", "sum.sum.0"]).stdout;
    assert!(why.contains("it may finish until the deadline"), "{why}");
    assert!(why.contains("it moves because n0 is drained by"), "{why}");

    std::fs::write(&gate, "").expect("can be written");
    let said = drain.wait_with_output().expect("it ends");
    let said = (said.status.code(), String::from_utf8_lossy(&said.stdout).into_owned());
    assert_eq!(said.0, Some(0), "{said:?}");
    assert!(said.1.contains("nothing is left"), "{said:?}");
    let sum = cluster.status("sum").expect("it is shown");
    assert_eq!(sum["health"], "complete", "it was not disturbed: {sum}");
    assert_eq!(on(&cluster.status("log").expect("it is shown"), "n0").count(), 0);
    let listed = cluster.run(&["node"]).stdout;
    assert!(listed.contains("n0    drained"), "{listed}");

    assert_eq!(cluster.run(&["node", "uncordon", "n0"]).code, 0);
    cluster
        .wait_job("log", "uncordoned it has what is on every node", |status| on(status, "n0").count() == 1);
    let web = cluster.status("web").expect("it is shown");
    assert_eq!(on(&web, "n0").count(), 0, "what has moved does not come back");
}

/// What cannot move stays until the deadline, and a cancelled drain leaves it where it is.
#[test]
fn what_has_no_other_place_waits_for_the_deadline_and_cancelling_restores_the_node() {
    let cluster = Cluster::start(2);
    cluster.submit(&tests::job::with("pinned", "service", 1, "exec sleep 100000", "node: n0"));
    let before = cluster.wait_job("pinned", "it is healthy", |status| status["healthy"] == 1);
    assert_eq!(cluster.run(&["node", "drain", "n0", "--no-deadline", "--detach"]).code, 0);
    let why = until(SOON, "it says why it stays", || {
        let why = cluster.run(&["why", "pinned.pinned.0"]).stdout;
        if why.contains("it stays until there is a place for it") { Ok(why) } else { Err(why) }
    });
    assert!(why.contains("its node is drained, and no other can take it"), "{why}");
    let refused = cluster.run(&["node", "uncordon", "n0"]);
    assert!(refused.code == 1 && refused.stderr.contains("minijob node drain n0 --cancel"), "{refused:?}");
    assert_eq!(cluster.run(&["node", "drain", "n0", "--cancel"]).code, 0);
    let after = cluster.wait_job("pinned", "it is healthy", |status| status["health"] == "healthy");
    assert_eq!(
        live(&after).next().expect("it")["id"],
        live(&before).next().expect("it")["id"],
        "the same one"
    );
    assert_eq!(node(&cluster, "n0")["eligibility"], "eligible");

    assert_eq!(cluster.run(&["node", "drain", "n0", "--deadline", "2s", "--detach"]).code, 0);
    wait_drained(&cluster, "n0");
    let status = cluster.status("pinned").expect("it is shown");
    assert_eq!((live(&status).count(), &status["health"]), (0, &"waiting".into()), "{status}");
    let events = cluster.run(&["events", "n0"]).stdout;
    assert!(
        events.contains("the deadline of node n0's drain has passed: 1 allocation is told to end"),
        "{events}"
    );
}

/// `--force` ends everything at once; it is begun anew elsewhere.
#[test]
fn a_forced_drain_does_not_wait() {
    let cluster = Cluster::start(2);
    cluster.serve("web", 2, "exec sleep 100000");
    let answer = cluster.run(&["node", "drain", "n1", "--force", "--json"]);
    assert_eq!((answer.code, &answer.json()["changed"]), (0, &true.into()), "{answer:?}");
    cluster.wait_job("web", "both are on the other", |status| {
        on(status, "n0").count() == 2 && status["healthy"] == 2
    });
    let again = cluster.run(&["node", "drain", "n1", "--force", "--json"]);
    assert_eq!((again.code, &again.json()["changed"]), (0, &false.into()), "{again:?}");
}
