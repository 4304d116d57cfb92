use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::cluster::Cluster;
use tests::job;

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
