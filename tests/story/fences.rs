use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tests::cluster::{Cluster, live, pids};
use tests::process;
use tests::wait::until;

/// The fence of these stories, and how long after a fault nothing may run any more: one heartbeat more, and what a busy machine adds.
const FENCE: Duration = Duration::from_secs(5);
const GONE: Duration = Duration::from_secs(8);
const LONG: Duration = Duration::from_secs(40);

/// A service that appends when it starts and that it lives, with the number that tells old from new. It does not end when it is asked
/// to: its end is a kill.
fn tick(cluster: &Cluster, name: &str, keys: &str) -> std::path::PathBuf {
    let book = cluster.dir().join(format!("{name}.book"));
    std::fs::write(&book, "").expect("writable");
    std::fs::set_permissions(&book, std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("ours");
    let path = book.display();
    let script = format!(
        "trap '' TERM; while true; do echo $MINIJOB_NODE_NAME $$ 0$MINIJOB_FENCE_TOKEN >> {path}; sleep 0.05; done"
    );
    cluster.submit(&tests::job::with(name, "service", 1, &script, keys));
    cluster.wait_job(name, "it runs", |status| status["running"] == 1);
    until(LONG, "it writes", || if lines(&book).is_empty() { Err("nothing".to_owned()) } else { Ok(()) });
    book
}

/// What was written: node, process, token.
fn lines(book: &Path) -> Vec<(String, u32, u64)> {
    let text = std::fs::read_to_string(book).expect("readable");
    let line = |line: &str| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Nobody writes after somebody with a higher token has begun to: two never ran at the same time.
fn assert_never_two(book: &Path) {
    let tokens: Vec<u64> = lines(book).into_iter().map(|(_, _, token)| token).collect();
    assert!(tokens.is_sorted(), "{:?}", lines(book));
}

/// Waits until a process is gone, and says how long that took.
fn gone(pid: u32, since: Instant) -> Duration {
    until(GONE, "the fenced task is gone", || {
        if process::is_alive(pid) { Err(pid.to_string()) } else { Ok(()) }
    });
    since.elapsed()
}

fn home_of(status: &serde_json::Value) -> usize {
    let node = live(status).next().and_then(|alloc| alloc["node_name"].as_str()).expect("it runs").to_owned();
    node.trim_start_matches('n').parse().expect("a number")
}

/// The fenced job and one without a fence beside it on the same node: number of the node, books, processes.
fn pair(cluster: &Cluster) -> (usize, std::path::PathBuf, u32, u32) {
    let book = tick(cluster, "once", "disconnect: {stop_after: 5s}");
    let status = cluster.status("once").expect("it is there");
    let home = home_of(&status);
    tick(cluster, "free", &format!("node: n{home}"));
    let free = pids(&cluster.status("free").expect("it is there"))[0];
    (home, book, pids(&status)[0], free)
}

fn replaced(cluster: &Cluster, home: usize, book: &Path) {
    let elsewhere = |status: &serde_json::Value| {
        live(status).any(|alloc| {
            alloc["lost"] == false && alloc["state"] == "running" && alloc["node_name"] != format!("n{home}")
        })
    };
    cluster.wait_job_within(LONG, "once", "it runs elsewhere", elsewhere);
    until(LONG, "the new one writes", || {
        let last = lines(book).pop().expect("it wrote");
        if last.0 == format!("n{home}") { Err(format!("{last:?}")) } else { Ok(()) }
    });
    assert_never_two(book);
}

/// Promises 19 and 47: a frozen agent's fenced task is gone in time, and before its replacement starts; what has no fence runs on.
#[test]
fn a_fenced_task_of_a_frozen_agent_ends_in_time_and_before_its_replacement_starts() {
    let cluster = Cluster::start(2);
    let (home, book, once, free) = pair(&cluster);
    process::signal(cluster.agent_pid(home), Signal::SIGSTOP);
    let took = gone(once, Instant::now());
    assert!(took < FENCE + Duration::from_secs(1), "{took:?}");
    assert!(process::is_alive(free), "what has no fence runs on");
    until(LONG, "why says for what it waits", || {
        let why = cluster.run(&["why", "once"]).stdout;
        if why.contains("fence") { Ok(()) } else { Err(why) }
    });
    replaced(&cluster, home, &book);
    process::signal(cluster.agent_pid(home), Signal::SIGCONT);
    cluster.wait_job_within(LONG, "once", "one is left", |status| live(status).count() == 1);
    assert_never_two(&book);
}

/// Promise 47: the same when the agent is killed and does not come back.
#[test]
fn a_fenced_task_of_a_killed_agent_ends_in_time_and_before_its_replacement_starts() {
    let mut cluster = Cluster::start(2);
    let (home, book, once, free) = pair(&cluster);
    cluster.kill_agent(home);
    let took = gone(once, Instant::now());
    assert!(took < FENCE + Duration::from_secs(1), "{took:?}");
    assert!(process::is_alive(free), "what has no fence runs on");
    replaced(&cluster, home, &book);
    cluster.start_agent(home);
    cluster.wait_for_nodes(2);
    cluster.wait_job_within(LONG, "once", "one is left", |status| live(status).count() == 1);
    assert_never_two(&book);
}

/// An agent that is killed and comes back in time renews the fence: the task notices nothing.
#[test]
fn a_fence_holds_on_through_the_death_and_return_of_the_agent() {
    let mut cluster = Cluster::start(1);
    let (home, book, once, _) = pair(&cluster);
    for _ in 0..3 {
        cluster.kill_agent(home);
        cluster.start_agent(home);
        cluster.wait_for_nodes(1);
        std::thread::sleep(Duration::from_secs(3));
    }
    assert!(process::is_alive(once), "{}", cluster.said());
    assert_eq!(lines(&book).iter().filter(|line| line.1 != once).count(), 0, "nothing else ran");
}

/// When all servers are away fenced work stops by itself, and is there again soon after they are.
#[test]
fn a_fenced_task_stops_when_the_servers_are_away_and_begins_anew_when_they_are_back() {
    let mut cluster = Cluster::start(1);
    let (_, book, once, free) = pair(&cluster);
    cluster.kill_server(Signal::SIGKILL);
    let took = gone(once, Instant::now());
    assert!(took < FENCE + Duration::from_secs(1), "{took:?}");
    assert!(process::is_alive(free), "what has no fence runs on");
    cluster.start_server();
    // What the server knew before says nothing of now.
    let again = |status: &serde_json::Value| status["running"] == 1 && pids(status) != [once];
    cluster.wait_job_within(LONG, "once", "it runs again", again);
    let ended = cluster.run(&["events", "once"]).stdout;
    assert!(ended.contains("fenced: its node could not reach the servers in time"), "{ended}");
    until(LONG, "it writes again", || {
        if lines(&book).last().is_some_and(|line| line.1 != once) {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    });
    assert_never_two(&book);
}
