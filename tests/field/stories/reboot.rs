use std::time::Duration;

use crate::cluster::Cluster;

/// After a reboot nothing starts before the servers' complete set: what a machine remembers may run elsewhere by now.
#[test]
#[ignore = "half a minute: tests/run --long"]
fn after_a_reboot_nothing_starts_before_the_servers_have_said_what_should_run() {
    let mut cluster = Cluster::bare(3, 1);
    cluster.form();
    cluster.serve("web", 3);
    cluster.kill_machine(2);
    cluster.wait_settled_elsewhere("web", &[0, 1], 3);
    cluster.cut(2, 0);
    cluster.power_on(2);
    cluster.start_agent(2);
    std::thread::sleep(Duration::from_secs(8));
    let (here, asleep) = (cluster.machines[2].space.pids(), cluster.sleepers());
    assert!(!here.is_empty(), "its agent runs");
    assert_eq!(cluster.machines[2].of_these(&asleep), [0u32; 0], "it was not told to start anything");
    cluster.heal();
    cluster.wait_for_nodes(3);
    cluster.wait_settled("web", &[0, 1, 2], 3);
    assert_eq!(
        cluster.machines[2].of_these(&cluster.sleepers()),
        [0u32; 0],
        "what was replaced stays where it is"
    );
}
