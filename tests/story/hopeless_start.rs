use tests::cluster::Cluster;

/// Promise 5: a missing program and an unknown user fail at once, with a reason that names them, and nothing spins. What comes next is
/// the same wherever it is asked, also when servers have looked again, and the command that is shown works.
#[test]
fn what_can_never_start_fails_at_once_and_says_why() {
    let cluster = Cluster::start(1);
    for (name, text, named) in [
        ("missing", "name: missing\ncommand: /no/such/program\n", "/no/such/program"),
        ("stranger", "name: stranger\ncommand: /bin/true\nuser: no-such-user\n", "no-such-user"),
    ] {
        let answer = cluster.submit_with(text, &["--timeout", "20s"]);
        assert_eq!(answer.code, 1, "{name}: {answer:?}");
        tells_the_truth(name, "run", &answer.stderr);
        let status = cluster.status(name).expect("it is known");
        let shown = cluster.run(&["status", name]).stdout;
        assert!(shown.contains(named), "{name} is not named: {shown}");
        let allocs = status["allocs"].as_array().expect("allocations");
        assert!(
            allocs.iter().all(|alloc| alloc["tasks"][0]["attempt"].as_u64() <= Some(1)),
            "no second try: {status}"
        );
        for asked in ["status", "why"] {
            tells_the_truth(name, asked, &cluster.run(&[asked, name]).stdout);
        }
    }
    // Servers look again when a replacement would be due, and say then that there is no place.
    cluster.wait_job("missing", "servers have looked again", |_| {
        cluster.run(&["events", "missing"]).stdout.contains("cannot be placed")
    });
    for asked in ["status", "why"] {
        tells_the_truth("missing", asked, &cluster.run(&[asked, "missing"]).stdout);
    }
    let restarted = cluster.run(&["restart", "missing"]);
    assert_eq!(restarted.code, 0, "{restarted:?}");
    cluster.wait_job("missing", "it was tried once more", |status| {
        let allocs = status["allocs"].as_array().into_iter().flatten();
        allocs.filter(|alloc| alloc["state"] == "failed").count() == 2
    });
}

#[track_caller]
fn tells_the_truth(job: &str, command: &str, said: &str) {
    let next = format!(
        "not tried again: n0 is left out for this version, and there is no other node; mend the cause, then `minijob restart {job}`"
    );
    assert!(said.contains(&next), "{command} {job}: {said}");
    for promise in ["tried again in", "placed anew", "as soon as", "ago  missing.missing.0 is"] {
        assert!(!said.contains(promise), "{command} {job} promises {promise}: {said}");
    }
}
