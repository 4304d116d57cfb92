use tests::linear::{Operation, check};
use tests::register::{Answer, Ask, Register};
use tests::wait::until;

use crate::chaos::{Chaos, schedule};
use crate::clients::{Clients, read_with, write};
use crate::cluster::{Cluster, LONG};
use crate::slots::Slots;

/// Promises 14 to 20 and 47 under whatever happens: servers and agents are killed and stand still, power is cut, packets are lost one way
/// or both, late or never, clocks jump. What clients saw is what one copy would have answered, everything acknowledged is there, no slot
/// with a fence ran twice, and in the end there is one set of everything.
#[allow(clippy::print_stdout, reason = "a failed run is repeated by what it says")]
fn hold(seed: u64, rounds: usize) {
    let mut cluster = Cluster::bare(3, 3);
    let mut chaos = Chaos::prepare(&mut cluster);
    cluster.form();
    cluster.serve("web", 3);
    let once = fenced(&cluster, "once", 1, false, "singleton: true");
    let obstinate = fenced(&cluster, "obstinate", 2, true, "disconnect: {stop_after: 3s}");
    let mut persons: Vec<_> = (0..3).map(|number| cluster.person_at(number)).collect();
    persons.push(cluster.person());

    println!("faults of seed {seed}; MJ_FIELD_SEED={seed} repeats them");
    let clients = Clients::start(persons, seed);
    for round in schedule(seed, rounds) {
        chaos.play(&mut cluster, &round);
    }
    cluster.wait_for_servers(3);
    cluster.wait_for_nodes(3);
    let record = clients.finish(cluster.person());
    let (answered, open) = record.counts();
    println!("{answered} operations were answered, of {open} writes the outcome is not known");

    assert_eq!(record.strange, [""; 0]);
    assert!(answered > rounds * 30, "the clients were at work");
    record.is_linearizable().unwrap_or_else(|violation| panic!("{violation}"));
    cluster.wait_settled("web", &[0, 1, 2], 3);
    for (slots, name, count) in [(&once, "once", 1), (&obstinate, "obstinate", 2)] {
        cluster.wait_job(name, "it is as it should be", |status| status["healthy"] == count);
        let started = slots.never_ran_twice().unwrap_or_else(|fault| panic!("{fault}"));
        println!("{name} started {started} times, on {:?}", slots.nodes());
    }
    assert!(obstinate.nodes().len() > 1, "it was moved");
}

/// Runs a job with a fence.
fn fenced(cluster: &Cluster, name: &str, count: u32, is_obstinate: bool, keys: &str) -> Slots {
    let slots = Slots::make(cluster.net.dir(), name, count);
    let keys = format!("restart: {{attempts: -1, delay: 100ms, backoff: constant, jitter: 0%}}\n{keys}");
    cluster.submit(&tests::job::with(name, "service", count, &slots.script(is_obstinate), &keys));
    cluster.wait_job(name, "it is healthy", |status| status["healthy"] == count);
    slots
}

fn seed_or(other: u64) -> u64 {
    std::env::var("MJ_FIELD_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(other)
}

#[test]
fn under_random_faults_histories_are_linearizable_and_fences_hold() {
    // All four that take an agent away, two of them with the leader.
    hold(seed_or(7), 4);
}

#[test]
#[ignore = "minutes: tests/run --long"]
fn under_random_faults_for_minutes_histories_are_linearizable_and_fences_hold() {
    hold(seed_or(proto::time::now().0), 30);
}

/// The checker sees what it is for: reads of a follower that is cut off, which says what it has because it was asked to, be it old.
#[test]
fn stale_reads_of_a_server_that_is_cut_off_are_found() {
    let mut cluster = Cluster::of_three();
    let leader = cluster.leader();
    let cut_off = cluster.others(leader)[0];
    let (near, far) = (cluster.person_at(leader), cluster.person_at(cut_off));
    let mut history = Vec::new();
    let mut keep = |ask, answer| {
        let asked = 2 * history.len() as u64;
        history.push(Operation { client: 0, asked, ask, answer: Some((asked + 1, answer)) });
    };
    let writes = |value| write(&near, "register", value, None).expect("it is led").expect("it is written");
    keep(Ask::Put { value: 1, expected: None }, writes(1));
    let seen =
        until(LONG, "it has reached the other server", || match read_with(&far, "register", &["--stale"])? {
            Some(Answer::Seen(None)) | None => Err("nothing".to_owned()),
            Some(seen) => Ok(seen),
        });
    keep(Ask::Get, seen);
    cluster.isolate(cut_off);
    keep(Ask::Put { value: 2, expected: None }, writes(2));
    assert_eq!(read_with(&far, "register", &[]), Ok(None), "who is cut off cannot know what is true");
    let stale = read_with(&far, "register", &["--stale"]).expect("it answers").expect("what it has");
    keep(Ask::Get, stale);
    assert!(check::<Register>(&history[..3]).is_ok(), "{history:?}");
    let violation = check::<Register>(&history).expect_err("an old value after a newer one was acknowledged");
    assert_eq!(violation.explained, 3, "{violation:?}");
}
