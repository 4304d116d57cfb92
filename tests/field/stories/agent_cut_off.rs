use crate::cluster::Cluster;

/// Promise 19: a partition cuts one agent off, its tasks go on and it knows nothing: the work is replaced at once, and settled without
/// duplicates when the network heals. A cut that loses only one direction is no better.
fn is_replaced_and_settled(cut: impl Fn(&mut Cluster, usize, usize)) {
    // A machine without a server: only its agent is cut off.
    let mut cluster = Cluster::bare(3, 1);
    cluster.form();
    cluster.serve("web", 3);
    let before = cluster.sleepers();
    cut(&mut cluster, 2, 0);
    cluster.wait_settled_elsewhere("web", &[0, 1], 3);
    let kept = cluster.machines[2].of_these(&before);
    assert_eq!(kept.len(), 1, "nobody could tell it to stop");
    cluster.heal();
    cluster.wait_for_nodes(3);
    cluster.wait_settled("web", &[0, 1, 2], 3);
    let after = cluster.sleepers();
    let same = before.iter().filter(|pid| after.contains(pid)).count();
    assert!(same >= 2, "what was not cut off was not touched: {before:?} {after:?}");
    assert_eq!(cluster.elections(), 0, "one server leads itself");
}

#[test]
fn an_agent_that_is_cut_off_is_replaced_and_settled_without_duplicates() {
    is_replaced_and_settled(Cluster::cut);
}

#[test]
#[ignore = "half a minute: tests/run --long"]
fn an_agent_that_hears_but_is_not_heard_is_replaced_and_settled_without_duplicates() {
    is_replaced_and_settled(Cluster::cut_one_way);
}

#[test]
#[ignore = "half a minute: tests/run --long"]
fn an_agent_that_is_heard_but_does_not_hear_is_replaced_and_settled_without_duplicates() {
    is_replaced_and_settled(|cluster, agent, server| cluster.cut_one_way(server, agent));
}
