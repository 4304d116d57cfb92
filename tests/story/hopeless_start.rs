use tests::cluster::Cluster;

/// Promise 5: a missing program and an unknown user fail at once, with a reason that names them, and nothing spins.
#[test]
fn what_can_never_start_fails_at_once_and_says_why() {
    let cluster = Cluster::start(1);
    for (name, text, named) in [
        ("missing", "name: missing\ncommand: /no/such/program\n", "/no/such/program"),
        ("stranger", "name: stranger\ncommand: /bin/true\nuser: no-such-user\n", "no-such-user"),
    ] {
        let answer = cluster.submit_with(text, &["--timeout", "20s"]);
        assert_eq!(answer.code, 1, "{name}: {answer:?}");
        let status = cluster.status(name).expect("it is known");
        let shown = cluster.run(&["status", name]).stdout;
        assert!(shown.contains(named), "{name} is not named: {shown}");
        let allocs = status["allocs"].as_array().expect("allocations");
        assert!(
            allocs.iter().all(|alloc| alloc["tasks"][0]["attempt"].as_u64() <= Some(1)),
            "no second try: {status}"
        );
    }
}
