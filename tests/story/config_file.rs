use nix::sys::signal::Signal;
use serde_json::Value;
use tests::cluster::{Cluster, pids};
use tests::process::signal;
use tests::wait::{SOON, until};

fn node(cluster: &Cluster) -> Result<Value, String> {
    let nodes = cluster.http("/v1/nodes")?;
    let node = &nodes["items"][0];
    if node["liveness"] == "up" { Ok(node.clone()) } else { Err(nodes.to_string()) }
}

fn until_node(cluster: &Cluster, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    until(SOON, what, || {
        let node = node(cluster)?;
        if holds(&node) { Ok(node) } else { Err(node.to_string()) }
    })
}

fn until_said(cluster: &Cluster, words: &str) {
    until(SOON, words, || {
        let said = cluster.said();
        if said.contains(words) { Ok(()) } else { Err(said) }
    });
}

/// An agent goes by its file; SIGHUP takes over what can change while tasks run on, and names what waits for a restart; a file
/// with a fault changes nothing.
#[test]
fn an_agent_takes_over_its_file_while_its_tasks_run_on() {
    let mut cluster = Cluster::start(0);
    let file = cluster.dir().join("agent.yml");
    let write = |text: &str| std::fs::write(&file, text).expect("writable");
    let config = file.display().to_string();
    write("meta: {rack: r1}\ncapacity: {cpu: 8, memory: 4GiB}\nallow_paths: [/srv]\n");
    cluster.add_agent_with(&["--config", &config]);
    let before = until_node(&cluster, "it goes by its file", |node| node["attributes"]["meta.rack"] == "r1");
    assert_eq!(before["capacity"]["cpu_millis"], 8000, "{before}");
    let running = cluster.serve("steady", 2, "exec sleep 1000");

    write(
        "name: other\nmeta: {rack: r2}\ncapacity: {cpu: 8, memory: 4GiB}\nreserve: {cpu: 500m, memory: 1GiB}\n\
         volumes: {pgdata: /srv/pg}\nallow_paths: [/srv]\nhttp: 127.0.0.1:1\n",
    );
    signal(cluster.agent_pid(0), Signal::SIGHUP);
    let after = until_node(&cluster, "it took over what can change", |node| {
        node["attributes"]["meta.rack"] == "r2" && node["attributes"]["volume.pgdata"] == "1"
    });
    assert_eq!((&after["id"], &after["name"]), (&before["id"], &before["name"]), "a name waits");
    assert_eq!(after["capacity"]["cpu_millis"], 7500, "{after}");
    assert_eq!(after["capacity"]["memory_bytes"], 3_u64 << 30, "{after}");
    // The name was a flag, which wins over the file: only what would really change is said.
    until_said(&cluster, "http is to be 127.0.0.1:1 and stays not set until a restart");
    until_said(&cluster, "meta is now {rack: r2}, was {rack: r1}");

    write("meta: {rack: r3}\nreserv: {cpu: 1}\n");
    signal(cluster.agent_pid(0), Signal::SIGHUP);
    until_said(&cluster, "did you mean `reserve`?");
    let still = until_node(&cluster, "it is up", |_| true);
    assert_eq!(still["attributes"]["meta.rack"], "r2", "a file with a fault changes nothing: {still}");

    let status = cluster.wait_job("steady", "it runs", |status| status["running"] == 2);
    assert_eq!(pids(&status), running, "no task noticed");
}
