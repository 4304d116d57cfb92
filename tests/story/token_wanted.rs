use tests::cluster::Cluster;

/// Promise 46: without a token, or with a wrong one, everything but `/health` is refused and nothing leaks.
#[test]
fn every_door_wants_the_token() {
    let cluster = Cluster::start(1);
    cluster.serve("secretive", 1, "exec sleep 1000");
    for args in [
        vec!["status"],
        vec!["status", "secretive"],
        vec!["logs", "secretive"],
        vec!["stop", "secretive"],
        vec!["events"],
    ] {
        for token in ["", "wrong"] {
            let mut command = tests::command::bare(&args);
            command.env("MINIJOB_ADDR", format!("http://{}", cluster.addr())).env("HOME", "/nonexistent");
            if !token.is_empty() {
                command.env("MINIJOB_TOKEN", token);
            }
            let output = command.output().expect("it runs");
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.status.code(), Some(5), "{args:?} with token {token:?}: {output:?}");
            assert_eq!(shown, "", "{args:?} leaks");
        }
    }
    let status = |path: &str, more: &[&str]| {
        let url = format!("http://{}{path}", cluster.addr());
        let mut args = vec!["-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "10"];
        args.extend(more);
        args.push(&url);
        let output = std::process::Command::new("curl").args(&args).output().expect("curl runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(status("/health", &[]), "200");
    for path in ["/metrics", "/v1/jobs", "/v1/nodes", "/v1/events", "/v1/jobs/secretive", "/nowhere"] {
        assert_eq!(status(path, &[]), "403", "{path}");
    }
    let bearer = format!("Authorization: Bearer {}", cluster.token());
    assert_eq!(status("/v1/jobs", &["-H", &bearer]), "200");
    assert_eq!(status("/v1/jobs", &["-H", &bearer, "-H", "Origin: http://evil.example"]), "403");
    assert_eq!(status("/v1/jobs", &["-H", &bearer, "-H", "Host: evil.example"]), "403");
}
