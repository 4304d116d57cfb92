use std::collections::BTreeMap;

use serde_json::Value;
use tests::cluster::{Cluster, live};
use tests::wait::{SOON, until};

fn daemon(name: &str, kind: &str, script: &str, rules: &str) -> String {
    tests::job::with(name, kind, 1, script, rules)
}

/// The slot that each node has of a job, by the node's name.
fn slots(status: &Value) -> BTreeMap<String, u64> {
    let slot = |alloc: &Value| {
        (alloc["node_name"].as_str().expect("a name").to_owned(), alloc["index"].as_u64().expect("an index"))
    };
    live(status).map(slot).collect()
}

fn on(slots: &[(&str, u64)]) -> BTreeMap<String, u64> {
    slots.iter().map(|(node, slot)| ((*node).to_owned(), *slot)).collect()
}

/// Promise 25: a system job is on every node that is right for it; a new node has it within a second or so of being there, and one that
/// is lost and comes back has the one that it had.
#[test]
fn a_system_job_reaches_every_node_that_is_right_for_it() {
    let mut cluster = Cluster::start(2);
    cluster.wait_for_nodes(2);
    let file = daemon("exporter", "system", "exec sleep 100000", "constraints: [meta.role != \"db\"]");
    let answer = cluster.submit(&file);
    assert_eq!(answer.code, 0, "{answer:?}");
    let status = cluster.wait_job("exporter", "two are healthy", |status| status["healthy"] == 2);
    assert_eq!((slots(&status), &status["wanted"]), (on(&[("n0", 0), ("n1", 1)]), &2.into()));

    cluster.add_agent_with(&["--meta", "role=db"]);
    cluster.add_agent_with(&["--meta", "role=web"]);
    cluster.wait_for_nodes(4);
    let three = |status: &Value| status["healthy"] == 3 && status["wanted"] == 3;
    let status = cluster.wait_job("exporter", "the new node has one, the database none", three);
    assert_eq!(slots(&status), on(&[("n0", 0), ("n1", 1), ("n3", 2)]));

    cluster.kill_node(1);
    let status = cluster.wait_job("exporter", "two are wanted", |status| status["wanted"] == 2);
    assert_eq!(status["health"], "healthy", "nothing is wrong elsewhere: {status}");
    cluster.start_agent(1);
    let status = cluster.wait_job("exporter", "three again", three);
    assert_eq!(slots(&status), on(&[("n0", 0), ("n1", 1), ("n3", 2)]), "the slot that it had");

    let why = cluster.run(&["why", "exporter.exporter.2"]).stdout;
    assert!(why.contains("was placed on n3; it runs on every node that is right for it"), "{why}");
    let refused = cluster.run(&["scale", "exporter", "5"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("it runs once on every node"), "{refused:?}");
    let stopped = cluster.run(&["stop", "exporter"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    cluster.wait_ended(SOON, "exporter");
}

/// Work that is done once on every machine is done on a machine that comes later, too, and never twice.
#[test]
fn a_sysbatch_job_is_done_once_on_every_node() {
    let mut cluster = Cluster::start(2);
    cluster.wait_for_nodes(2);
    let marks = cluster.dir().join("marks");
    std::fs::create_dir(&marks).expect("made");
    std::fs::set_permissions(&marks, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("ours");
    let script = format!("echo done >> {}/$MINIJOB_NODE_NAME", marks.display());
    let answer = cluster.submit_with(&daemon("tune", "sysbatch", &script, ""), &["--wait"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let done = |count: usize| {
        until(SOON, "it was done on every node, once", || {
            let lines = std::fs::read_dir(&marks).expect("it is there").flatten();
            let lines: Vec<_> = lines.map(|entry| std::fs::read_to_string(entry.path())).collect();
            let once = lines.iter().all(|line| line.as_deref().is_ok_and(|line| line == "done\n"));
            if lines.len() == count && once { Ok(()) } else { Err(format!("{lines:?}")) }
        });
    };
    done(2);
    let again = cluster.submit_with(&daemon("tune", "sysbatch", &script, ""), &["--wait"]);
    assert_eq!(again.code, 0, "the same file again does nothing: {again:?}");
    cluster.add_agent();
    done(3);
    let complete = |status: &Value| status["health"] == "complete" && status["wanted"] == 3;
    cluster.wait_job("tune", "complete on three nodes", complete);
}

/// Promise 26: without a node that is right it says so, as other jobs do.
#[test]
fn without_a_node_that_is_right_it_says_why_it_runs_nowhere() {
    let mut cluster = Cluster::start(1);
    cluster.wait_for_nodes(1);
    cluster.submit(&daemon("gpu", "system", "exec sleep 100000", "constraints: [meta.gpu == \"yes\"]"));
    let status = cluster.wait_job("gpu", "it waits", |status| status["health"] == "waiting");
    let why = status["why"].as_str().expect("a reason");
    assert!(why.contains("gpu has no node to run on: the only node is ruled out by"), "{why}");
    cluster.add_agent_with(&["--meta", "gpu=yes"]);
    cluster.wait_job("gpu", "one runs", |status| status["healthy"] == 1 && status["health"] == "healthy");
}
