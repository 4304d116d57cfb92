use crate::cluster::Cluster;
use crate::people::{healthy_on, on};

/// Promise 1, on machines of their own: three servers that start in any order become one cluster, every machine's agent finds it, and
/// the work is shared. Each machine is reached at its own address.
#[test]
fn three_machines_become_one_cluster_and_share_the_work() {
    let cluster = Cluster::of_three();
    let status = cluster.serve("web", 6);
    let nodes = ["n0", "n1", "n2"];
    assert!(nodes.iter().all(|node| on(&status, node).count() == 2), "two each: {status}");
    assert!(healthy_on(&status, &nodes.map(str::to_owned), 6));
    assert_eq!(cluster.sleepers().len(), 6);
    for number in 0..3 {
        let said = cluster.person_on(number).run(&["status", "web", "--json"]);
        assert_eq!((said.code, &said.json()["healthy"]), (0, &6.into()), "every server answers: {said:?}");
    }
    let members = cluster.members().expect("a list");
    let mut addresses: Vec<_> = members.iter().filter_map(|one| one["address"].as_str()).collect();
    addresses.sort_unstable();
    assert_eq!(addresses, ["10.79.0.2:4650", "10.79.0.3:4650", "10.79.0.4:4650"]);
}
