use std::time::{Duration, Instant};

use tests::wait::until;

use crate::cluster::{Cluster, LONG};
use crate::faults::disk::{SlowSyncs, small};
use crate::writer::{Writer, note};

/// A follower whose disk takes two seconds for what takes milliseconds stalls nobody: a majority is enough.
#[test]
#[ignore = "half a minute: tests/run --long"]
fn a_slow_disk_under_a_follower_does_not_stall_writes() {
    let mut cluster = Cluster::bare(3, 3);
    let disks: Vec<_> = cluster.machines.iter_mut().map(SlowSyncs::prepare).collect();
    cluster.form();
    let leader = cluster.leader();
    let slow = cluster.others(leader)[0];
    disks[slow].take(Duration::from_secs(2));
    let begin = Instant::now();
    let writer = Writer::start(cluster.person_on(leader));
    std::thread::sleep(Duration::from_secs(15));
    let written = writer.finish();
    let gap = written.longest_gap(begin);
    println!("{} writes, the longest pause {gap:?}", written.acknowledged.len());
    assert_eq!(written.refused, [""; 0]);
    assert!(gap < Duration::from_secs(2), "not one waited for the slow disk: {gap:?}");
    assert_eq!(cluster.leader(), leader);
    disks[slow].take(Duration::ZERO);
    cluster.wait_for_servers(3);
    written.is_kept_by(&cluster);
}

/// The disk under the leader is full. It cannot keep anything any more, so another leads, and writes go on. With room again, and started
/// again, it is what it was.
#[test]
#[ignore = "half a minute: tests/run --long"]
fn a_full_disk_under_the_leader_lets_another_lead() {
    let mut cluster = Cluster::bare(3, 3);
    let disks: Vec<_> = cluster.machines.iter().map(|machine| small(machine, DISK)).collect();
    cluster.form();
    cluster.serve("web", 3);
    let before = cluster.sleepers();
    // Something always happens, and must be remembered.
    cluster.submit(&tests::job::shell("busy", 3, "sleep 0.3; exit 1"));
    let leader = cluster.leader();
    let others = cluster.others(leader);
    disks[leader].fill();
    let mut kept = Vec::new();
    until(LONG, "another leads, and takes writes", || {
        let name = format!("note{}", kept.len());
        let answer = cluster.person_on(others[0]).submit(&note(&name));
        if answer.code == 0 {
            kept.push(name);
        }
        let now = cluster.leader();
        if now != leader && answer.code == 0 { Ok(()) } else { Err(format!("s{now} leads; {answer:?}")) }
    });
    cluster.submit(&note("after"));
    kept.push("after".into());
    assert_eq!(cluster.run(&["stop", "busy"]).code, 0);
    disks[leader].empty();
    cluster.kill_server(leader);
    cluster.start_server(leader);
    cluster.wait_for_servers(3);
    for name in &kept {
        assert!(cluster.status(name).is_ok(), "{name} was acknowledged");
    }
    cluster.wait_settled("web", &[0, 1, 2], 3);
    assert_eq!(cluster.sleepers(), before, "no task was touched");
}

/// The disk under a server: more than what a server keeps free for itself.
const DISK: u64 = 640 << 20;
