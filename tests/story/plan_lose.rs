use std::collections::BTreeMap;

use serde_json::Value;
use tests::cluster::{Cluster, live};

/// A cluster whose nodes stand in these failure domains, one core and 1 GiB each.
fn domains(domains: &[&str]) -> Cluster {
    let mut cluster = Cluster::start(0);
    for domain in domains {
        cluster.add_agent_with(&["--failure-domain", domain, "--capacity", "cpu=1,memory=1GiB"]);
    }
    cluster.wait_for_nodes(domains.len());
    cluster
}

/// How many of `web` run on each node.
fn places(status: &Value) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for alloc in live(status).filter(|alloc| alloc["lost"] == false) {
        *places.entry(alloc["node_name"].as_str().expect("a name").to_owned()).or_default() += 1;
    }
    places
}

fn on(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(node, count)| ((*node).to_owned(), *count)).collect()
}

/// Promise 25, of failure domains, and 28, of what would be: a group goes over the failure domains of nodes without being told; `plan --lose`
/// says what would move where and what would have no place, writes nothing, and is right when the node is lost.
#[test]
fn what_a_loss_would_do_is_told_before_it_happens() {
    let mut cluster = domains(&["sm1", "sm1", "sm2"]);
    let resources = "resources: {cpu: 300m, memory: 32MiB, memory_limit: none}";
    cluster.submit(&format!("name: web\ncount: 4\ncommand: /bin/sleep\nargs: ['100000']\n{resources}\n"));
    let status = cluster.wait_job("web", "all run", |status| status["running"] == 4);
    assert_eq!(places(&status), on(&[("n0", 1), ("n1", 1), ("n2", 2)]), "two in each domain: {status}");

    let told = cluster.run(&["plan", "--lose", "n2"]);
    assert_eq!(told.code, 0, "{told:?}");
    let expected = "without n2:\nweb: 2 would move: n2 to n0 (1), n2 to n1 (1)\neverything fits: 2 allocations of 1 job would move\n";
    assert_eq!(told.stdout, expected);

    let told = cluster.run(&["plan", "--lose-domain", "sm1"]);
    assert_eq!(told.code, 1, "not all fits: {told:?}");
    for said in [
        "without n0, n1:\n",
        "web: 1 would move: ",
        "web: 1 would have no place: 2 of 3 nodes are down, 1 of 3 nodes lacks cpu (300m asked); n2 is closest with 100m of cpu free",
        "`minijob scale web 3`",
        "1 allocation of 1 job would have no place, 1 allocation of 1 job would move\n",
    ] {
        assert!(told.stdout.contains(said), "{said}: {told:?}");
    }
    let told: Value =
        serde_json::from_str(&cluster.run(&["plan", "--json", "--lose", "n0", "--lose", "n1"]).stdout)
            .expect("JSON");
    assert_eq!((&told["fits"], &told["without_place"]), (&Value::Bool(false), &1.into()), "{told}");
    let unknown = cluster.run(&["plan", "--lose", "n9"]);
    assert_eq!(unknown.code, 3, "{unknown:?}");
    assert_eq!(cluster.status("web").expect("the job")["version"], 1, "nothing is written");

    cluster.kill_node(2);
    let status =
        cluster.wait_job("web", "it runs elsewhere", |status| places(status) == on(&[("n0", 2), ("n1", 2)]));
    let moved =
        live(&status).find(|alloc| !alloc["replaces"].is_null()).expect("one took the place of another");
    let why = cluster.run(&["why", moved["name"].as_str().expect("a name")]).stdout;
    assert!(why.contains("; next was n"), "the next best node is remembered: {why}");
}
