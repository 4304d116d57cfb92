use std::time::{Duration, Instant};

use tests::wait::until;

use crate::cluster::{Cluster, LONG};

/// Of the ten agents. The last four are one rack.
const VANISHING: [usize; 4] = [3, 4, 5, 6];
const RACK: [usize; 4] = [6, 7, 8, 9];
const ALL: usize = 20;

/// Promise 21: four of ten machines, of several failure domains, vanish at once. The brake holds what they ran, people are told, and what comes
/// back runs on as it was. An order releases it. A whole failure domain that vanishes is replaced at once.
#[test]
fn many_machines_vanish_at_once_and_the_brake_holds_until_they_are_back_or_somebody_says_so() {
    let mut cluster = Cluster::bare(10, 3);
    for number in RACK {
        let rack = ("MINIJOB_FAILURE_DOMAIN".to_owned(), "rack".to_owned());
        cluster.machines[number].environment.push(rack);
    }
    cluster.form();
    // By racks first: a quarter of them runs in the rack of four.
    cluster.serve("web", ALL as u32);
    let before = cluster.sleepers();

    // A switch is pulled: they run, and nobody hears of them.
    for number in VANISHING {
        cluster.net.wire(number, false);
    }
    wait_for_brake(&cluster);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(cluster.sleepers(), before, "nothing was begun anew");
    for number in VANISHING {
        cluster.net.wire(number, true);
    }
    cluster.wait_for_nodes(10);
    let everywhere: Vec<usize> = (0..10).collect();
    cluster.wait_settled("web", &everywhere, ALL);
    assert_eq!(cluster.sleepers(), before, "nor when they came back");
    until(LONG, "the brake lets go when nothing is held", || match warnings(&cluster) {
        said if said.is_empty() => Ok(()),
        said => Err(said),
    });

    // This time they are gone.
    VANISHING.into_iter().for_each(|number| cluster.kill_machine(number));
    wait_for_brake(&cluster);
    let left = cluster.sleepers().len();
    assert!(left < ALL, "{left}");
    let why = cluster.run(&["status", "web"]).stdout;
    assert!(why.contains("lost together with 3 others"), "{why}");
    let answer = cluster.run(&["operator", "brake", "release"]);
    assert_eq!((answer.code, answer.stdout.contains("being replaced")), (0, true), "{answer:?}");
    let others = [0, 1, 2, 7, 8, 9];
    cluster.wait_settled_elsewhere("web", &others, ALL);
    let again = cluster.run(&["operator", "brake", "release"]);
    assert_eq!((again.code, again.stdout.contains("nothing changed")), (0, true), "{again:?}");

    for number in VANISHING {
        cluster.power_on(number);
        cluster.start_agent(number);
    }
    cluster.wait_for_nodes(10);
    cluster.wait_settled("web", &everywhere, ALL);

    // Four of ten again, and all of one rack.
    let died = Instant::now();
    RACK.into_iter().for_each(|number| cluster.kill_machine(number));
    cluster.wait_settled_elsewhere("web", &[0, 1, 2, 3, 4, 5], ALL);
    println!("the rack's work ran elsewhere after {:?}", died.elapsed());
    assert!(died.elapsed() < Duration::from_secs(45), "{:?}", died.elapsed());
    assert_eq!(warnings(&cluster), "");
}

/// Waits until people are told.
fn wait_for_brake(cluster: &Cluster) {
    until(LONG, "the brake is pulled", || match warnings(cluster) {
        said if said.contains("4 OF 10 NODES WERE LOST AT ONCE") => Ok(()),
        said => Err(said),
    });
    let events = cluster.run(&["events"]).stdout;
    assert!(events.contains("4 nodes of 10 do not answer (n3, n4, n5, n6)"), "{events}");
}

/// What `status` says in capitals.
fn warnings(cluster: &Cluster) -> String {
    let status = cluster.run(&["status"]).stdout;
    status.lines().filter(|line| line.contains("LOST AT ONCE")).collect()
}
