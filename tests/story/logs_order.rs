use tests::cluster::Cluster;
use tests::wait::{SOON, until};

/// Prints on both streams in turn, further apart than marks of time are.
const TURNS: &str =
    "for i in 1 2 3; do echo out $i; sleep 0.05; echo err $i >&2; sleep 0.05; done; exec sleep 100000";

/// Promise 10: both streams of a task, and all tasks of a job, come in the order of time, and `--tail` counts what is seen.
#[test]
fn logs_come_in_the_order_of_time_and_a_tail_counts_the_lines_of_a_task() {
    let cluster = Cluster::start(2);
    cluster.serve("turns", 2, TURNS);
    let of_one = "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n";
    for slot in ["turns.turns.0", "turns.turns.1"] {
        until(SOON, "all is printed, in order", || {
            let answer = cluster.run(&["logs", slot]);
            if answer.stdout == of_one { Ok(()) } else { Err(format!("{answer:?}")) }
        });
    }
    let tail = cluster.run(&["logs", "turns.turns.0", "--tail", "3"]);
    assert_eq!((tail.code, tail.stdout.as_str()), (0, "err 2\nout 3\nerr 3\n"), "{tail:?}");
    let stderr = cluster.run(&["logs", "turns.turns.0", "--tail", "2", "--stderr"]);
    assert_eq!(stderr.stdout, "err 2\nerr 3\n", "{stderr:?}");
    assert_eq!(cluster.run(&["logs", "turns", "--tail", "2"]).stdout.lines().count(), 4, "two of each task");

    let answer = cluster.run(&["logs", "turns", "--json"]);
    let lines: Vec<serde_json::Value> =
        answer.stdout.lines().map(|line| serde_json::from_str(line).expect("a document")).collect();
    let times: Vec<&str> = lines.iter().filter_map(|line| line["time"].as_str()).collect();
    assert_eq!(times.len(), 12, "every line has its time: {answer:?}");
    assert!(times.is_sorted(), "{times:?}");
    let line = cluster.run(&["logs", "-t", "turns.turns.1", "--tail", "1"]).stdout;
    let (time, rest) = line.split_once(' ').expect("a time");
    assert!(time.parse::<proto::time::Timestamp>().is_ok() && rest == "err 3\n", "{line}");
}

/// Promise 10 where a node is down: what can be read is shown, what cannot is said once, by names, and the exit code says it too,
/// until a replacement runs, whose output is what is asked for.
#[test]
fn logs_of_a_job_with_a_node_down_show_the_rest_and_say_what_is_missing() {
    let mut cluster = Cluster::start(2);
    cluster.serve("both", 2, "echo out from $MINIJOB_ALLOC_INDEX; echo err >&2; exec sleep 100000");
    let all = until(SOON, "all is printed", || {
        let answer = cluster.run(&["logs", "both"]);
        if answer.stdout.lines().count() == 4 { Ok(answer) } else { Err(format!("{answer:?}")) }
    });
    assert_eq!((all.code, all.stderr.as_str()), (0, ""), "{all:?}");
    let status = cluster.status("both").expect("it is known");
    let lost = status["allocs"].as_array().expect("a list")[0].clone();
    let node = lost["node_name"].as_str().expect("a name").to_owned();
    let number = node.strip_prefix('n').and_then(|number| number.parse().ok()).expect("its number");
    let other = format!("n{}", 1 - number);
    assert_eq!(cluster.run(&["node", "cordon", &other]).code, 0);
    cluster.kill_agent(number);
    let answer = until(SOON, "the node is down", || {
        let answer = cluster.run(&["logs", "both"]);
        if answer.stderr.contains("has been down for") { Ok(answer) } else { Err(format!("{answer:?}")) }
    });
    assert_eq!(answer.code, 1, "{answer:?}");
    let slot = format!("both.both.{}", lost["index"]);
    let sentence = format!("the output of {slot} there cannot be read until it is back");
    assert!(answer.stderr.starts_with(&format!("minijob: node {node} has been down for")), "{answer:?}");
    assert_eq!(answer.stderr.matches(&sentence).count(), 1, "{answer:?}");
    let left = 1 - lost["index"].as_u64().expect("a number");
    assert!(answer.stdout.contains(&format!("out from {left}")), "{answer:?}");
    assert_eq!(cluster.run(&["node", "uncordon", &other]).code, 0);
    until(SOON, "a replacement is read", || {
        let answer = cluster.run(&["logs", "both"]);
        let read = answer.stdout.contains(&format!("out from {}", lost["index"]));
        let told = answer.stderr.matches(&sentence).count() == 1;
        if (answer.code, read, told) == (0, true, true) { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    cluster.start_agent(number);
    until(SOON, "all can be read again", || {
        let answer = cluster.run(&["logs", "both"]);
        if (answer.code, answer.stderr.as_str()) == (0, "") { Ok(()) } else { Err(format!("{answer:?}")) }
    });
}

/// Promise 10: what is not wanted any more is shown on request only, and that it is left out is said.
#[test]
fn logs_of_a_job_leave_out_slots_that_were_scaled_away() {
    let cluster = Cluster::start(1);
    cluster.serve("less", 2, "echo hello from $MINIJOB_ALLOC_INDEX; exec sleep 100000");
    until(SOON, "both have printed", || {
        let answer = cluster.run(&["logs", "less"]);
        if answer.stdout.lines().count() == 2 { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    assert_eq!(cluster.run(&["scale", "less", "1"]).code, 0);
    let answer = until(SOON, "the second has ended", || {
        let answer = cluster.run(&["logs", "less"]);
        if answer.stdout.contains("from 1") { Err(format!("{answer:?}")) } else { Ok(answer) }
    });
    assert_eq!((answer.code, answer.stdout.contains("from 0")), (0, true), "{answer:?}");
    assert_eq!(answer.stderr.matches("left out: ask for all (`--all`)").count(), 1, "{answer:?}");
    let all = cluster.run(&["logs", "less", "--all"]);
    assert!(all.stdout.contains("from 1") && all.stderr.is_empty(), "{all:?}");
    assert_eq!(cluster.run(&["logs", "less.less.1"]).stdout, "hello from 1\n");
}
