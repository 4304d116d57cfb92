use std::time::Duration;

use crate::cluster::Cluster;
use crate::faults::delay::round_trip;
use crate::writer::Writer;

/// A network between distant places: 20 ms each way, and two packets of a hundred do not arrive. Nobody stands for election, no node is
/// lost, nothing is started again, and writes are acknowledged.
#[test]
#[ignore = "half a minute: tests/run --long"]
fn a_slow_and_lossy_network_changes_nothing_but_the_pace() {
    let mut cluster = Cluster::of_three();
    cluster.serve("web", 3);
    let (before, leader, elections) = (cluster.sleepers(), cluster.leader(), cluster.elections());
    cluster.worsen(Duration::from_millis(20), 20);
    let trip = round_trip(&cluster, 0, 1);
    assert!(trip >= Duration::from_millis(40), "it is slow: {trip:?}");
    let writer = Writer::start(cluster.person());
    std::thread::sleep(Duration::from_secs(20));
    let written = writer.finish();
    assert!(written.acknowledged.len() > 20, "{written:?}");
    assert_eq!(written.refused, [""; 0]);
    assert_eq!((cluster.leader(), cluster.elections()), (leader, elections), "it leads on");
    written.is_kept_by(&cluster);
    cluster.wait_for_nodes(3);
    assert_eq!(cluster.sleepers(), before);
}
