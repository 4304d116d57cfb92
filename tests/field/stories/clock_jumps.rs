use std::time::Duration;

use crate::cluster::Cluster;
use crate::faults::clock::WallClock;

/// The time of day jumps by hours on one machine, forth and back, under the leader and its agent and then under a follower and its
/// agent: no node is lost, nothing is started again, nobody stands for election, and what is submitted runs.
#[test]
#[ignore = "half a minute: tests/run --long"]
fn a_clock_that_jumps_loses_no_node_and_restarts_nothing() {
    let mut cluster = Cluster::bare(3, 3);
    let clocks: Vec<_> = cluster.machines.iter_mut().map(WallClock::prepare).collect();
    cluster.form();
    cluster.serve("web", 3);
    let (before, leader, elections) = (cluster.sleepers(), cluster.leader(), cluster.elections());
    let mut number = 0;
    for machine in [leader, cluster.others(leader)[0]] {
        for hours in [5, -5, 0] {
            clocks[machine].jump(hours);
            // Longer than the silence after which a node is lost.
            std::thread::sleep(Duration::from_secs(5));
            cluster.wait_for_nodes(3);
            number += 1;
            let name = format!("during{number}");
            cluster.submit(&tests::job::batch(&name, "true"));
            cluster.wait_job(&name, "it runs and ends", |status| status["health"] == "complete");
            assert_eq!(cluster.sleepers(), before, "{hours} hours on machine {machine}");
        }
    }
    assert_eq!((cluster.leader(), cluster.elections()), (leader, elections));
    let events = cluster.run(&["events"]).stdout;
    assert!(!events.contains("is lost"), "{events}");
}
