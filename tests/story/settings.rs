use std::time::Duration;

use nix::sys::signal::Signal;
use tests::cluster::Cluster;
use tests::wait::{SOON, until};

fn liveness(cluster: &Cluster, node: &str) -> Result<String, String> {
    let shown = cluster.http(&format!("/v1/nodes/{node}"))?;
    shown["liveness"].as_str().map(str::to_owned).ok_or_else(|| shown.to_string())
}

/// A setting of the cluster holds without a restart, for agents too, and survives the server: with a lease of 1 s a node that is gone
/// is down before the 4 s of a new cluster are over.
#[test]
fn a_shorter_lease_holds_at_once_and_survives_the_server() {
    let mut cluster = Cluster::start(2);
    let refused = cluster.run(&["operator", "settings", "set", "node_timeout=1s"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("heartbeat=333ms node_timeout=1s together would be right"),
        "{refused:?}"
    );
    let set = cluster.run(&["operator", "settings", "set", "heartbeat=300ms", "node_timeout=1s"]);
    assert_eq!(set.code, 0, "{set:?}");
    // An agent hears of it in the answer to its next heartbeat, of which there is one a second.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(liveness(&cluster, "n0").as_deref(), Ok("up"), "it beats as often as it must now");
    cluster.kill_node(0);
    until(Duration::from_secs(3), "the node is down", || match liveness(&cluster, "n0")?.as_str() {
        "down" => Ok(()),
        other => Err(other.to_owned()),
    });
    let told = cluster.run(&["events"]).stdout;
    assert!(told.contains("setting node_timeout was changed from 4s to 1s by operator"), "{told}");
    cluster.kill_server(Signal::SIGKILL);
    cluster.start_server();
    let kept = until(SOON, "the server answers", || {
        let shown = cluster.run(&["operator", "settings", "get", "node_timeout", "--json"]);
        if shown.code == 0 { Ok(shown.json()) } else { Err(format!("{shown:?}")) }
    });
    assert_eq!((kept["value"].as_str(), kept["default"].as_str()), (Some("1s"), Some("4s")));
}
