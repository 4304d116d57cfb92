use tests::cluster::Cluster;

/// Promise 13: every error at once, with line and column, nothing submitted, exit code 2.
#[test]
fn an_invalid_file_says_everything_that_is_wrong_and_submits_nothing() {
    let cluster = Cluster::start(0);
    let text = "name: web\ncommand: /bin/true\ncuont: 3\nrestart: {delay: 5}\nstop_signal: SIGNOPE\n---\nname: fine\ncommand: /bin/true\n";
    let answer = cluster.submit_with(text, &[]);
    assert_eq!(answer.code, 2, "{answer:?}");
    for part in [":3:1", "did you mean `count`?", ":4:", "`5s`", ":5:", "SIGNOPE"] {
        assert!(answer.stderr.contains(part), "{part:?} is missing:\n{}", answer.stderr);
    }
    assert_eq!(cluster.run(&["status", "fine"]).code, 3, "nothing was submitted");
}
