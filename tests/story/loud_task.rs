use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proto::time::Timestamp;
use tests::cluster::Cluster;
use tests::wait::{SOON, until};
use tests::{job, process};

use crate::{http, memory};

/// What the agent and each process of its keeper may take of memory.
const MEMORY: u64 = 64 << 20;

/// What is kept of the loud task's output: the file's `max_files` of `max_file_size`.
const KEPT: u64 = 2 << 20;

/// Promise 11: a task that prints as fast as it can neither grows the agent's memory nor disturbs its neighbours, and what is
/// kept of it is bounded.
#[test]
fn a_loud_task_disturbs_nobody() {
    let cluster = Cluster::start(1);
    cluster.serve("quiet", 1, "while true; do date +%s%3N; sleep 0.1; done");
    cluster.submit(&job::shell("crashes", 1, "echo again; exit 1"));
    let policy = "logs: {max_files: 2, max_file_size: 1MiB}";
    cluster.submit(&job::with("loud", "service", 1, "exec yes $(printf 'y%.0s' $(seq 1000))", policy));
    cluster.wait_job("loud", "it runs", |status| status["running"] == 1);
    let dir = cluster.agent_dir(0);
    let loud = until(SOON, "both files of the loud task are there", || {
        let files = logs_of(&dir, "loud.stdout.");
        if files.len() > 1 { Ok(files) } else { Err(format!("{files:?}")) }
    });

    let (over, most, kept) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let late = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                watch_once(&cluster, &dir, &most, &kept);
            }
        });
        let late = follow(&cluster, 50);
        over.store(true, Ordering::Relaxed);
        watch.join().expect("the node stays up");
        late
    });
    let most = most.load(Ordering::Relaxed);
    assert!(most > 0 && most < MEMORY, "{most} bytes in one process of the node");
    let kept = kept.load(Ordering::Relaxed);
    // While a file begins, the oldest may still be there.
    assert!(kept > 0 && kept <= KEPT + (1 << 20), "{kept} bytes of output are kept");
    assert!(late < Duration::from_secs(2), "a line of the neighbour came after {late:?}");
    let later = logs_of(&dir, "loud.stdout.");
    assert!(
        loud.iter().all(|path| !later.contains(path)),
        "it was loud all the while: {loud:?}, then {later:?}"
    );
    let crashed = cluster.wait_job("crashes", "it is tried again and again", |status| {
        status["allocs"][0]["tasks"][0]["attempt"].as_u64().is_some_and(|attempt| attempt > 3)
    });
    assert_eq!(crashed["allocs"].as_array().map(Vec::len), Some(1), "{crashed}");
    let stopped = cluster.run(&["stop", "loud"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
}

/// Follows the neighbour for some lines, each of which is its own time; how late the latest came.
fn follow(cluster: &Cluster, lines: usize) -> Duration {
    let mut child = cluster
        .command(&["logs", "-f", "--tail", "0", "quiet"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let said = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let late = said.take(lines).map(|line| {
        let printed = line.rsplit(' ').next().and_then(|word| word.parse().ok()).map(Timestamp);
        proto::time::now().since(printed.unwrap_or_else(|| panic!("no time: {line}")))
    });
    let late: Vec<Duration> = late.collect();
    child.kill().ok();
    child.wait().ok();
    assert_eq!(late.len(), lines, "the log goes on");
    late.into_iter().max().expect("some lines")
}

/// Notes memory and files, and that the node is up.
fn watch_once(cluster: &Cluster, dir: &Path, most: &AtomicU64, kept: &AtomicU64) {
    let tasks: Vec<u32> =
        ["yes", "sh", "date", "sleep"].into_iter().flat_map(|name| named(dir, name)).collect();
    for pid in process::mentioning(dir).into_iter().filter(|pid| !tasks.contains(pid)) {
        most.fetch_max(memory::resident(pid).unwrap_or(0), Ordering::Relaxed);
    }
    let files = logs_of(dir, "loud.stdout.");
    let bytes = files.iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum();
    kept.fetch_max(bytes, Ordering::Relaxed);
    let nodes = http::ask(cluster.addr(), "GET /v1/nodes", &cluster.token(), "", SOON)
        .expect("the server answers")
        .json();
    assert_eq!(nodes["items"][0]["liveness"], "up", "{nodes}");
    std::thread::sleep(Duration::from_millis(50));
}

fn named(dir: &Path, name: &str) -> Vec<u32> {
    let is = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
    };
    process::mentioning(dir).into_iter().filter(is).collect()
}

fn logs_of(dir: &Path, beginning: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = entries.flat_map(|path| {
        let is_log = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(beginning));
        if path.is_dir() {
            logs_of(&path, beginning)
        } else if is_log {
            vec![path]
        } else {
            vec![]
        }
    });
    found.collect()
}
