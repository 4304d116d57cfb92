use std::time::Duration;

use serde_json::Value;
use tests::cluster::{Cluster, live};
use tests::wait::{SOON, until};

fn job(name: &str, count: u32, cpu: &str, priority: u8) -> String {
    format!(
        "name: {name}\ncount: {count}\npriority: {priority}\ncommand: /bin/sleep\nargs: ['100000']\n\
         resources: {{cpu: {cpu}, memory: 1MiB, memory_limit: none}}\n"
    )
}

/// A cluster with agents of that many cores.
fn of_cores(cores: &[u32]) -> Cluster {
    let mut cluster = Cluster::start(0);
    for cores in cores {
        cluster.add_agent_with(&[&format!("--capacity=cpu={cores},memory=64GiB")]);
    }
    cluster.wait_for_nodes(cores.len());
    cluster
}

/// The sum of what is live on each node, in millicores, from the nodes' own documents.
fn used(cluster: &Cluster) -> Vec<(u64, u64)> {
    let nodes = cluster.http("/v1/nodes").expect("nodes");
    let of = |node: &Value| {
        let cpu = |key: &str| node[key]["cpu_millis"].as_u64().expect("a number");
        (cpu("used"), cpu("capacity"))
    };
    nodes["items"].as_array().expect("a list").iter().map(of).collect()
}

/// Promise 28: two thousand placements race for four hundred places; no node is ever over-committed, none of the places stays empty, and
/// who has none is counted.
#[test]
fn two_thousand_placements_race_for_the_last_places() {
    const JOBS: u64 = 20;
    let cluster = of_cores(&[2, 2]);
    let files: Vec<String> = (0..JOBS).map(|number| job(&format!("race{number}"), 100, "10m", 50)).collect();
    std::thread::scope(|scope| {
        for file in &files {
            scope.spawn(|| assert_eq!(cluster.submit(file).code, 0));
        }
    });
    let count = |key: &str| -> Result<u64, String> {
        let jobs = cluster.http("/v1/jobs")?;
        Ok(jobs["items"].as_array().ok_or("no list")?.iter().filter_map(|job| job[key].as_u64()).sum())
    };
    until(SOON * 4, "four hundred run", || {
        for (used, capacity) in used(&cluster) {
            assert!(used <= capacity, "a node of {capacity}m has {used}m on it");
        }
        match count("running")? {
            400 => Ok(()),
            other => Err(format!("{other} run")),
        }
    });
    assert_eq!(used(&cluster), [(2000, 2000); 2]);
    let waiting = |number: u64| -> u64 {
        let status = cluster.status(&format!("race{number}")).expect("known");
        let group = &status["groups"][format!("race{number}")];
        assert_eq!(group["waiting"]["count"].as_u64().unwrap_or(0) + live(&status).count() as u64, 100);
        group["waiting"]["count"].as_u64().unwrap_or(0)
    };
    assert_eq!((0..JOBS).map(waiting).sum::<u64>(), 1600);
}

/// Promise 29: ten jobs that can never be placed do not slow down one that can, are told once each, and cost nothing while they wait.
#[test]
fn jobs_that_can_never_be_placed_are_in_nobodys_way() {
    let cluster = of_cores(&[4]);
    for number in 0..10 {
        cluster.submit(&job(&format!("never{number}"), 3, "1000", 100));
    }
    cluster.wait_job("never9", "the last one waits", |status| status["health"] == "waiting");
    let begun = std::time::Instant::now();
    cluster.submit(&job("web", 1, "100m", 1));
    cluster.wait_job("web", "it runs", |status| status["running"] == 1);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    cluster.wait_job("web", "it is healthy", |status| status["health"] == "healthy");
    let revision = |cluster: &Cluster| cluster.status("web").expect("known")["revision"].as_u64();
    let before = revision(&cluster);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(revision(&cluster), before, "nothing is written for who waits in vain");
    let events = cluster.run(&["events", "--json"]).stdout;
    assert_eq!(events.matches("\"unplaceable\"").count(), 10, "{events}");
}

/// Where it is allowed, work of higher priority takes the place of other work, which says so and comes back when there is room.
#[test]
fn the_urgent_takes_the_place_of_the_unimportant_where_that_is_allowed() {
    let cluster = of_cores(&[4]);
    cluster.submit(&job("report", 4, "1", 10));
    cluster.wait_job("report", "it is healthy", |status| status["healthy"] == 4);
    cluster.submit(&job("urgent", 2, "1", 90));
    cluster.wait_job("urgent", "it waits", |status| status["health"] == "waiting");
    let set = cluster.run(&["operator", "settings", "set", "preemption=true"]);
    assert_eq!(set.code, 0, "{set:?}");
    cluster.wait_job("urgent", "it is healthy", |status| status["healthy"] == 2);
    let report = cluster.wait_job("report", "two of it wait", |status| {
        status["running"] == 2 && status["groups"]["report"]["waiting"]["count"] == 2
    });
    let preempted = |alloc: &&Value| alloc["stop_reason"] == "preempted";
    let gone = report["allocs"].as_array().expect("a list").iter().filter(preempted).count();
    assert_eq!(gone, 2, "{report}");
    let why = cluster.run(&["why", "report"]).stdout;
    assert!(why.contains("work of higher priority needs its room"), "{why}");
    assert_eq!(cluster.run(&["stop", "urgent"]).code, 0);
    cluster.wait_job("report", "all of it runs again", |status| status["healthy"] == 4);
}
