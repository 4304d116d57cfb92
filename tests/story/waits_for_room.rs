use tests::cluster::Cluster;

/// Promise 26: what cannot be placed waits, says why with counts, and is placed when the cause goes away.
#[test]
fn what_has_no_room_says_why_and_is_placed_when_there_is_some() {
    let mut cluster = Cluster::start(1);
    let text = "name: greedy\ncommand: /bin/sleep\nargs: ['1000']\nresources: {memory: 900TiB}\n";
    cluster.submit(text);
    let status = cluster.wait_job("greedy", "it waits", |status| status["health"] == "waiting");
    assert_eq!(
        status["groups"]["greedy"]["waiting"]["why"], "the only node lacks memory (900TiB asked)",
        "{status}"
    );
    let shown = cluster.run(&["status", "greedy"]).stdout;
    assert!(shown.contains("lacks memory"), "{shown}");

    let none = Cluster::start(0);
    none.submit(&tests::job::shell("early", 1, "exec sleep 1000"));
    none.wait_job("early", "it waits", |status| status["health"] == "waiting");
    drop(none);

    cluster.submit(&tests::job::shell("greedy", 1, "exec sleep 1000"));
    cluster.wait_job("greedy", "it runs", |status| status["running"] == 1);
    cluster.add_agent();
    cluster.wait_for_nodes(2);
}

/// A job that waits for a node is placed as soon as one registers.
#[test]
fn the_first_node_gets_what_waited_for_it() {
    let mut cluster = Cluster::start(0);
    cluster.submit(&tests::job::shell("early", 1, "exec sleep 1000"));
    cluster.wait_job("early", "it waits", |status| status["health"] == "waiting");
    cluster.add_agent();
    cluster.wait_job("early", "it runs", |status| status["running"] == 1);
}

/// Promise 27: a static port in use: the second job waits, naming the holder, and starts after the first has really ended.
#[test]
fn a_static_port_is_handed_over() {
    let cluster = Cluster::start(1);
    let job = |name: &str| {
        tests::job::with(
            name,
            "service",
            1,
            "trap 'sleep 0.5; exit 0' TERM; while true; do sleep 0.05; done",
            "ports: {http: {static: 18080}}",
        )
    };
    cluster.submit(&job("first"));
    cluster.wait_job("first", "it is healthy", |status| status["healthy"] == 1);
    cluster.submit(&job("second"));
    let status = cluster.wait_job("second", "it waits", |status| status["health"] == "waiting");
    let why = status["groups"]["second"]["waiting"]["why"].as_str().unwrap_or_default();
    assert!(why.contains("port 18080") && why.contains("first.first.0"), "{why}");
    assert_eq!(cluster.run(&["stop", "first"]).code, 0);
    cluster.wait_job("second", "it runs", |status| status["running"] == 1);
    let first = cluster.status("first").expect("known");
    assert_eq!(first["allocs"][0]["state"], "stopped", "the first had ended before: {first}");
}
