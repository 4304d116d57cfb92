use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::job;
use tests::process::is_alive;
use tests::wait::{SOON, until};

use crate::http;
use crate::kill_after_sync::{Killer, When};

/// Promise 20, for one server: an acknowledged write survives kill -9 at any moment, and none is applied twice.
///
/// Method: 200 writes from a script of clients while the server is killed at odd moments and started again; each write that was
/// acknowledged must be there afterwards, at version 1.
#[test]
fn an_acknowledged_write_survives_kill_9() {
    let mut cluster = Cluster::start(0);
    let mut acknowledged = Vec::new();
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    let (mut number, mut kills) = (0, 0);
    while number < 200 {
        let writers: Vec<_> = (0..10)
            .map(|_| {
                number += 1;
                writer(&cluster, number)
            })
            .collect();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis((seed >> 33) % 60));
        cluster.kill_server(Signal::SIGKILL);
        kills += 1;
        cluster.start_server();
        for (number, mut child) in writers {
            if child.wait().expect("it ends").success() {
                acknowledged.push(number);
            }
        }
    }
    assert!(
        acknowledged.len() > 50,
        "only {} of {number} writes were acknowledged over {kills} kills",
        acknowledged.len()
    );
    for number in &acknowledged {
        let status = cluster.wait_job(&format!("w{number}"), "it is there", |_| true);
        assert_eq!(status["version"], 1, "applied once: {status}");
    }
}

fn writer(cluster: &Cluster, number: u32) -> (u32, std::process::Child) {
    let path = cluster.dir().join(format!("w{number}.yml"));
    std::fs::write(&path, job::shell(&format!("w{number}"), 1, "exec sleep 1000")).expect("writable");
    let mut command = cluster.command(&["run", "--detach", &path.to_string_lossy()]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    (number, child)
}

/// A named write, and what it was answered before the server died.
struct Write {
    job: String,
    body: String,
    answer: Option<Value>,
}

impl Write {
    fn new(number: u32) -> Self {
        let job = format!("s{number}");
        let file = format!("name: {job}\ncount: 1\ncommand: /bin/true\n");
        let body = json!({"job_file": file, "request_id": format!("{:032x}", number + 1)}).to_string();
        Self { job, body, answer: None }
    }

    /// Sends it; what an answer says of the write itself, without its placement, which is of the moment.
    fn send(&self, addr: &str, token: &str) -> std::io::Result<Value> {
        let answer = http::ask(addr, "POST /v1/jobs", token, &self.body, SOON)?;
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut item = answer.json()["items"][0].take();
        item.as_object_mut().expect("an item").remove("placement");
        Ok(item)
    }
}

/// Promise 20, at the moments that matter most: a server that dies right before a sync, or right after one and before it could
/// say so, loses no acknowledged write and applies none twice, and a client that asks again hears what it would have heard.
///
/// Method: a preloaded library kills the server around its n-th sync while four clients write; then it is started without. Only
/// the database that the program uses is tested here; both back-ends have their power cuts in `power_loss`.
#[test]
fn a_write_is_applied_once_when_the_server_dies_around_a_sync() {
    const ROUNDS: u32 = 24;
    let mut cluster = Cluster::start(0);
    let killer = Killer::compile(cluster.dir());
    let token = cluster.token();
    let (mut writes, mut unknown): (Vec<Write>, usize) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let when = if round % 2 == 0 { When::After } else { When::Before };
        let armed = cluster.dir().join(format!("armed{round}"));
        let env = killer.env(when, round / 2 + 1, Some(&armed));
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        cluster.kill_server(Signal::SIGKILL);
        cluster.start_server_with(&env);
        wait_until_led(&cluster, &token);
        std::fs::write(&armed, "").expect("writable");
        let new = write_until_death(&cluster, &token, round);
        until(SOON, &format!("it dies {when:?} sync {} of round {round}", round / 2 + 1), || {
            if is_alive(cluster.server_pid()) { Err("it lives".to_owned()) } else { Ok(()) }
        });
        unknown += new.iter().filter(|write| write.answer.is_none()).count();
        cluster.kill_server(Signal::SIGKILL);
        cluster.start_server();
        wait_until_led(&cluster, &token);
        new.iter().for_each(|write| check(&cluster, &token, write));
        writes.extend(new);
    }
    for write in &writes {
        assert_eq!(version(&cluster, &token, write), (200, json!(1)), "{} outlived every death", write.job);
    }
    let acknowledged = writes.len() - unknown;
    assert!(
        acknowledged > 40 && unknown > 20,
        "{acknowledged} acknowledged, {unknown} not: too few to prove anything"
    );
}

fn wait_until_led(cluster: &Cluster, token: &str) {
    until(SOON, "the server leads", || {
        let answer =
            http::ask(cluster.addr(), "GET /health", token, "", SOON).map_err(|error| error.to_string())?;
        if answer.json()["leader"] == true { Ok(()) } else { Err(answer.body) }
    });
}

/// Four clients write, one job after another, until nobody answers.
fn write_until_death(cluster: &Cluster, token: &str, round: u32) -> Vec<Write> {
    const WRITES: u32 = 60;
    let client = |client: u32| {
        let first = (round * 4 + client) * WRITES;
        let mut writes = Vec::new();
        for number in first..first + WRITES {
            let mut write = Write::new(number);
            write.answer = write.send(cluster.addr(), token).ok();
            let died = write.answer.is_none();
            writes.push(write);
            if died {
                break;
            }
        }
        writes
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().flat_map(|client| client.join().expect("no client panics")).collect()
    })
}

/// The write is there once if it was acknowledged; asked for again it is answered as before, and is there once.
fn check(cluster: &Cluster, token: &str, write: &Write) {
    if write.answer.is_some() {
        assert_eq!(version(cluster, token, write), (200, json!(1)), "{} was acknowledged", write.job);
    }
    let ask = || write.send(cluster.addr(), token).expect("the server answers");
    let (first, second) = (ask(), ask());
    assert_eq!((&first["changed"], &first["version"]), (&json!(true), &json!(1)), "{}: {first}", write.job);
    assert_eq!(
        write.answer.as_ref().unwrap_or(&first),
        &first,
        "{}: a repetition is answered alike",
        write.job
    );
    assert_eq!(first, second, "{}: a repetition is answered alike", write.job);
    assert_eq!(version(cluster, token, write), (200, json!(1)), "{} is there once", write.job);
}

fn version(cluster: &Cluster, token: &str, write: &Write) -> (u16, Value) {
    let path = format!("GET /v1/jobs/{}", write.job);
    let answer = http::ask(cluster.addr(), &path, token, "", SOON).expect("the server answers");
    (answer.status, answer.json()["version"].clone())
}

/// A first start that dies around any of its syncs is made good by the next one.
#[test]
fn a_first_start_that_dies_around_a_sync_is_made_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let killer = Killer::compile(dir.path());
    let mut deaths = 0;
    for number in 1..200 {
        let mut all_served = true;
        for when in [When::Before, When::After] {
            let data = dir.path().join(format!("{when:?}{number}"));
            let env = killer.env(when, number, None);
            if serves(&data, &env) {
                continue;
            }
            (all_served, deaths) = (false, deaths + 1);
            assert!(serves(&data, &[]), "it does not start after its death {when:?} sync {number}");
        }
        if all_served {
            assert!(deaths > 10, "{deaths} deaths");
            return;
        }
    }
    panic!("a start with 200 syncs");
}

/// Starts a server and waits until it serves, or is dead; it is dead on return.
fn serves(data: &Path, env: &[(&str, String)]) -> bool {
    let args = ["server", "--listen", "127.0.0.1:0", "--data-dir", &data.to_string_lossy(), "--name", "s0"];
    let mut command = tests::command::bare(&args);
    command.envs(env.iter().map(|(name, value)| (*name, value))).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let said = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let serves = said.inspect(|line| eprintln!("{line}")).any(|line| line.contains("this server leads"));
    child.kill().ok();
    child.wait().expect("it ends");
    serves
}

/// A restarted server knows everything and moves nothing.
#[test]
fn a_restarted_server_restarts_no_task() {
    let mut cluster = Cluster::start(1);
    let before = cluster.serve("web", 3, "exec sleep 1000");
    for _ in 0..5 {
        cluster.kill_server(Signal::SIGKILL);
        cluster.start_server();
        cluster.wait_for_nodes(1);
    }
    let status = cluster.wait_job("web", "all run", |status| status["running"] == 3);
    assert_eq!(tests::cluster::pids(&status), before);
    assert_eq!(status["allocs"].as_array().map(Vec::len), Some(3), "nothing was placed twice: {status}");
}

/// A data directory that is corrupt or newer is refused with the file and the way out, and not touched.
#[test]
fn a_newer_data_directory_is_refused() {
    let mut cluster = Cluster::start(0);
    cluster.kill_server(Signal::SIGKILL);
    let formats: Vec<_> =
        walk(&cluster.server_dir()).into_iter().filter(|path| path.ends_with("format")).collect();
    assert_eq!(formats.len(), 1, "one file says the format: {formats:?}");
    let text = std::fs::read_to_string(&formats[0]).expect("text");
    let newer = text.replacen('1', "99", 1);
    assert_ne!(text, newer, "{text}");
    std::fs::write(&formats[0], newer).expect("writable");
    let dir = cluster.server_dir();
    let args = ["server", "--listen", "127.0.0.1:0", "--data-dir", &dir.to_string_lossy()];
    let output = tests::command::bare(&args).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("newer"), "{said}");
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
