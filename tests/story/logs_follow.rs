use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

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

/// Promise 10: `logs --since` begins where the time began, and skips what is older.
#[test]
fn logs_since_a_time_skip_what_is_older() {
    let cluster = Cluster::start(1);
    cluster.serve(
        "news",
        1,
        "printf 'old %0300d\\n' 0; while ! [ -e go ]; do sleep 0.1; done; echo new; exec sleep 1000",
    );
    let printed = |args: &[&str]| cluster.run(&[&["logs", "news"], args].concat());
    let old = format!("old {:0300}\n", 0);
    tests::wait::until(tests::wait::SOON, "the old line is there", || {
        let answer = printed(&[]);
        if answer.stdout == old { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    // Marks are a second apart at the least: nothing but time makes the next one due.
    std::thread::sleep(Duration::from_millis(1100));
    let between = proto::time::now();
    let go = cluster.run(&["exec", "news.news.0", "--", "touch", "go"]);
    assert_eq!(go.code, 0, "{go:?}");
    let since = between.to_string();
    tests::wait::until(tests::wait::SOON, "the new line is there, alone", || {
        let answer = printed(&["--since", &since]);
        if answer.stdout == "new\n" { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    assert_eq!(printed(&["--since", "1h"]).stdout, format!("{old}new\n"));
    assert_eq!(printed(&["--since", "1h", "--tail", "1"]).stdout, "new\n");
    let wrong = printed(&["--since", "yesterday"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("a duration like 30s, 10m or 2h"), "{wrong:?}");
}

/// Promise 10: `logs -f` of a job goes on with what replaces an allocation, and ends when nothing more can come.
#[test]
fn logs_follow_a_job_through_replacements_to_its_end() {
    let cluster = Cluster::start(1);
    cluster.serve("app", 1, "echo begins as $MINIJOB_ALLOC_ID; exec sleep 100000");
    let mut child = cluster
        .command(&["logs", "-f", "app"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let mut begins = || {
        let line = lines.next().expect("a line");
        line.rsplit_once("begins as ").map(|(_, id)| id.to_owned()).unwrap_or_else(|| panic!("{line}"))
    };
    let first = begins();
    assert_eq!(cluster.run(&["restart", "app"]).code, 0);
    let second = begins();
    assert_ne!(first, second, "another allocation took its place");
    assert_eq!(cluster.run(&["stop", "app"]).code, 0);
    assert_eq!(lines.next(), None);
    assert!(child.wait().expect("it ends").success());
}

fn number(line: &str) -> u64 {
    line.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no number: {line}"))
}
