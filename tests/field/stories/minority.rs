use std::time::Duration;

use crate::cluster::Cluster;
use crate::writer::{Writer, note};

/// Promise 20: a follower that is cut off acknowledges nothing and reads nothing out; the others go on. Its return disturbs nobody: no
/// election, no other leader, no pause.
#[test]
fn a_follower_that_is_cut_off_acknowledges_nothing_and_its_return_disturbs_nobody() {
    let mut cluster = Cluster::of_three();
    cluster.serve("web", 3);
    let before = cluster.sleepers();
    let (leader, elections) = (cluster.leader(), cluster.elections());
    let cut_off = cluster.others(leader)[0];
    let majority = cluster.person_on(leader);
    cluster.isolate(cut_off);
    let writer = Writer::start(majority);
    let alone = cluster.person_on(cut_off).submit(&note("alone"));
    assert_ne!(alone.code, 0, "nobody else knows of it: {alone:?}");
    let stale = cluster.person_on(cut_off).run(&["status", "web"]);
    assert_ne!(stale.code, 0, "it cannot know what is true: {stale:?}");
    cluster.heal();
    cluster.wait_for_servers(3);
    std::thread::sleep(Duration::from_secs(3));
    let written = writer.finish();
    assert_eq!(written.refused, [""; 0], "the others never noticed");
    assert_eq!((cluster.leader(), cluster.elections()), (leader, elections), "nobody stood for election");
    written.is_kept_by(&cluster);
    cluster.wait_for_nodes(3);
    cluster.wait_settled("web", &[0, 1, 2], 3);
    let after = cluster.sleepers();
    assert!(before.iter().filter(|pid| after.contains(pid)).count() >= 2, "{before:?} {after:?}");
}

/// Promise 20: a leader that is cut off does not acknowledge any more, another leads, and what the first was asked meanwhile is either
/// refused or kept.
#[test]
#[ignore = "half a minute: tests/run --long"]
fn a_leader_that_is_cut_off_does_not_accept_writes() {
    let mut cluster = Cluster::of_three();
    let leader = cluster.leader();
    let others = cluster.others(leader);
    cluster.isolate(leader);
    let alone = cluster.person_on(leader).submit(&note("alone"));
    assert_ne!(alone.code, 0, "{alone:?}");
    for (number, name) in others.iter().zip(["left", "right"]) {
        let answer = cluster.person_on(*number).submit(&note(name));
        assert_eq!(answer.code, 0, "the others have a leader: {answer:?}");
    }
    let through = cluster.person().submit(&note("through"));
    assert_eq!(through.code, 0, "who knows all servers finds the new one: {through:?}");
    cluster.heal();
    cluster.wait_for_servers(3);
    assert_ne!(cluster.leader(), leader);
    for name in ["left", "right", "through"] {
        assert!(cluster.status(name).is_ok(), "{name} was acknowledged");
    }
}

/// A leader that the others do not hear any more, while it hears them, is replaced too; so is one that they hear and that does not hear
/// them: writes are possible again in both.
#[test]
#[ignore = "half a minute: tests/run --long"]
fn a_leader_that_is_cut_off_one_way_does_not_stop_the_others() {
    for is_mute in [true, false] {
        let mut cluster = Cluster::of_three();
        let leader = cluster.leader();
        let others = cluster.others(leader);
        for other in &others {
            let (from, to) = if is_mute { (leader, *other) } else { (*other, leader) };
            cluster.cut_one_way(from, to);
        }
        let writer = Writer::start(cluster.person_on(others[0]));
        std::thread::sleep(Duration::from_secs(15));
        let written = writer.finish();
        assert!(written.acknowledged.len() > 20, "mute: {is_mute}: {written:?}");
        cluster.heal();
        cluster.wait_for_servers(3);
        written.is_kept_by(&cluster);
    }
}
