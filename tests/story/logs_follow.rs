use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use tests::cluster::Cluster;
use tests::job;

/// Promise 10: `logs` reads all allocations with prefixes, and still reads the output of an ended one.
#[test]
fn logs_are_merged_with_prefixes_and_outlive_the_task() {
    let cluster = Cluster::start(2);
    cluster.serve("talk", 2, "echo hello from $MINIJOB_ALLOC_INDEX; exec sleep 1000");
    let shown = tests::wait::until(tests::wait::SOON, "both lines are there", || {
        let answer = cluster.run(&["logs", "talk"]);
        let both = answer.stdout.contains("hello from 0") && answer.stdout.contains("hello from 1");
        if both { Ok(answer.stdout) } else { Err(format!("{answer:?}")) }
    });
    let line = shown.lines().find(|line| line.contains("hello from 1")).expect("it is there");
    assert!(line.contains("talk.talk.1"), "the source is named: {line}");

    let done = cluster.submit_with(&job::batch("once", "echo the last words"), &["--wait"]);
    assert_eq!(done.code, 0, "{done:?}");
    let answer = cluster.run(&["logs", "once"]);
    assert_eq!((answer.code, answer.stdout.contains("the last words")), (0, true), "{answer:?}");
}

/// Promise 10: `logs -f` follows.
#[test]
fn logs_follow_what_is_printed_later() {
    let cluster = Cluster::start(1);
    cluster.serve("clock", 1, "i=0; while true; do i=$((i+1)); echo tick $i; sleep 0.2; done");
    let mut command = cluster.command(&["logs", "-f", "clock"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let first: u64 = number(&lines.next().expect("a first line"));
    let later = lines.take(10).map(|line| number(&line)).collect::<Vec<_>>();
    child.kill().ok();
    child.wait().ok();
    assert_eq!(later, (first + 1..first + 11).collect::<Vec<_>>(), "every line, once, in order");
}

fn number(line: &str) -> u64 {
    line.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no number: {line}"))
}
