use std::collections::BTreeMap;

use tests::cluster::{Cluster, live};
use tests::wait::{SOON, until};

/// A cluster with an agent for each of these racks, in this order.
fn racks(racks: &[&str]) -> Cluster {
    let mut cluster = Cluster::start(0);
    for rack in racks {
        cluster.add_agent_with(&["--meta", &format!("rack={rack}")]);
    }
    cluster.wait_for_nodes(racks.len());
    cluster
}

fn job(name: &str, count: u32, rules: &str) -> String {
    tests::job::with(name, "service", count, "exec sleep 100000", rules)
}

/// Waits until that many run, and returns how many are on each node.
fn places(cluster: &Cluster, name: &str, count: u64) -> BTreeMap<String, usize> {
    let status = cluster.wait_job(name, "all run", |status| status["running"] == count);
    let mut places = BTreeMap::new();
    for alloc in live(&status) {
        *places.entry(alloc["node_name"].as_str().expect("a name").to_owned()).or_default() += 1;
    }
    places
}

/// Promise 25: constraints exclude, affinities prefer, spread spreads whatever the number of nodes, distinct keeps apart, and one node is
/// asked for by its name.
#[test]
fn work_goes_where_its_rules_say() {
    let cluster = racks(&["r1", "r2", "r2", "r3"]);
    let on = |pairs: &[(&str, usize)]| -> BTreeMap<String, usize> {
        pairs.iter().map(|(node, count)| ((*node).to_owned(), *count)).collect()
    };
    cluster.submit(&job("kept-out", 2, "constraints: [meta.rack != \"r2\"]"));
    assert_eq!(places(&cluster, "kept-out", 2), on(&[("n0", 1), ("n3", 1)]));
    cluster.submit(&job("liked", 2, "affinities: [{if: meta.rack == \"r3\", weight: 50}]"));
    assert_eq!(places(&cluster, "liked", 2), on(&[("n3", 2)]));
    cluster.submit(&job("pinned", 1, "node: n2"));
    assert_eq!(places(&cluster, "pinned", 1), on(&[("n2", 1)]));
    cluster.submit(&job("spread", 9, "spread: [{over: meta.rack}]"));
    let spread = places(&cluster, "spread", 9);
    assert_eq!((spread["n0"], spread["n1"] + spread["n2"], spread["n3"]), (3, 3, 3), "{spread:?}");

    cluster.submit(&job("apart", 5, "distinct: node"));
    let apart = cluster.wait_job("apart", "four run and one waits", |status| {
        status["running"] == 4 && status["groups"]["apart"]["waiting"]["count"] == 1
    });
    assert_eq!(
        apart["groups"]["apart"]["waiting"]["why"], "4 of 4 nodes have one of the group already",
        "{apart}"
    );
}

/// Promise 26: a job waits for a kind of node, names what excludes the others, and is placed as soon as one comes or becomes one.
#[test]
fn what_no_node_is_right_for_waits_until_one_is() {
    let mut cluster = racks(&["r1", "r1"]);
    cluster.submit(&job("picky", 1, "constraints: [meta.rack == \"r9\"]"));
    let status = cluster.wait_job("picky", "it waits", |status| status["health"] == "waiting");
    let why = "2 of 2 nodes are ruled out by `meta.rack == \"r9\"`";
    assert_eq!(status["groups"]["picky"]["waiting"]["why"], why, "{status}");
    assert!(cluster.run(&["why", "picky"]).stdout.contains("ruled out by"), "why says it, too");
    cluster.add_agent_with(&["--meta", "rack=r9"]);
    assert_eq!(places(&cluster, "picky", 1).keys().next().map(String::as_str), Some("n2"));
}

/// Promise 13: a rule that no node can answer is a mistake in the file, and named when it is submitted.
#[test]
fn a_rule_that_makes_no_sense_is_refused_with_its_line() {
    let cluster = Cluster::start(1);
    let file = cluster.dir().join("wrong.yml");
    std::fs::write(&file, job("wrong", 1, "constraints:\n  - mta.rack == \"r1\"\n  - meta.disks > 4"))
        .expect("written");
    let answer = cluster.run(&["run", "--detach", file.to_str().expect("UTF-8")]);
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(answer.stderr.contains("`mta` is not known"), "{answer:?}");
    assert!(answer.stderr.contains("did you mean `meta`?"), "{answer:?}");
    assert!(answer.stderr.contains("`>` cannot be asked of string and int"), "{answer:?}");
    until(SOON, "nothing was submitted", || match cluster.status("wrong") {
        Err(_) => Ok(()),
        Ok(status) => Err(status.to_string()),
    });
}
