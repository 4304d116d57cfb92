use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::cluster::{Cluster, live, pids};
use tests::command::Answer;
use tests::job;
use tests::process::is_alive;
use tests::wait::{SOON, until};

fn snapshot(cluster: &Cluster, args: &[&str]) -> Answer {
    cluster.run(&[&["operator", "snapshot"], args].concat())
}

fn ids(status: &Value) -> BTreeSet<String> {
    live(status).map(|alloc| alloc["id"].to_string()).collect()
}

/// Ends the server for good and starts an empty one at its address. The token stays, as it does where servers have the cluster's key.
fn replace_server(cluster: &mut Cluster) {
    let token = cluster.token();
    cluster.kill_server(Signal::SIGKILL);
    let dir = cluster.server_dir();
    let mut lost = 0;
    let aside = |number| cluster.dir().join(format!("lost{number}"));
    while aside(lost).exists() {
        lost += 1;
    }
    std::fs::rename(&dir, aside(lost)).expect("ours");
    std::fs::create_dir(&dir).expect("ours");
    std::fs::write(dir.join("token"), token).expect("writable");
    cluster.start_server();
}

/// Promise 22, second half, for one server: `snapshot save`, a new server, `snapshot restore`: jobs and allocations are the same, agents
/// re-attach without restarts.
///
/// Method: the processes are the same before and after; a damaged file and one that nobody said yes to change nothing. Then the same file
/// is restored once more over what was done since: that goes on too, is told, and nothing stops it.
#[test]
fn a_new_server_becomes_the_cluster_of_a_snapshot_and_tasks_go_on() {
    let mut cluster = Cluster::start(1);
    let before = cluster.serve("web", 2, "exec sleep 1000");
    let known = ids(&cluster.wait_job("web", "it is there", |_| true));
    let saved = snapshot(&cluster, &["save", "kept.snapshot"]);
    assert_eq!(saved.code, 0, "{saved:?}");
    assert!(saved.stdout.starts_with("kept.snapshot: 1 job, 1 node, 2 allocations"), "{saved:?}");
    let again = snapshot(&cluster, &["save", "kept.snapshot"]);
    assert!(again.code == 1 && again.stderr.contains("is there already"), "{again:?}");
    let seen = snapshot(&cluster, &["inspect", "--json", "kept.snapshot"]).json();
    assert_eq!((&seen["jobs"], &seen["allocations"]), (&1.into(), &2.into()), "{seen}");

    replace_server(&mut cluster);
    until(SOON, "the new server knows of no job", || {
        let jobs = cluster.http("/v1/jobs")?;
        if jobs["items"].as_array().is_some_and(Vec::is_empty) { Ok(()) } else { Err(jobs.to_string()) }
    });
    let unsure = snapshot(&cluster, &["restore", "kept.snapshot"]);
    assert!(unsure.code == 1 && unsure.stderr.contains("--yes"), "{unsure:?}");
    damaged_is_refused(&cluster, &cluster.dir().join("kept.snapshot"));
    assert_eq!(cluster.run(&["status", "web"]).code, 3, "nothing has changed");

    let restored = snapshot(&cluster, &["restore", "--yes", "kept.snapshot"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    cluster.wait_for_nodes(1);
    let status = cluster
        .wait_job("web", "its agent reports", |status| status["running"] == 2 && pids(status) == before);
    assert_eq!(ids(&status), known, "the allocations are those of before");
    assert!(before.iter().all(|pid| is_alive(*pid)));

    // The cluster goes on from there.
    assert_eq!(cluster.run(&["scale", "web", "3"]).code, 0);
    let status = cluster.wait_job("web", "one more runs", |status| status["running"] == 3);
    let more: Vec<u32> = pids(&status).into_iter().filter(|pid| !before.contains(pid)).collect();
    assert_eq!(more.len(), 1, "the others were left alone: {status}");

    // And back once more: the server has a life behind it, the file does not know it, the agent comes from it.
    let restored = snapshot(&cluster, &["restore", "--yes", "kept.snapshot"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    until(SOON, "what only the agent knows is told", || {
        let events = cluster.run(&["events", "--json"]).stdout;
        if events.contains("alloc_unknown") { Ok(()) } else { Err(events) }
    });
    cluster.wait_job("web", "as in the file", |status| status["running"] == 2 && pids(status) == before);
    assert!(more.iter().chain(&before).all(|pid| is_alive(*pid)), "nothing was stopped");
}

fn damaged_is_refused(cluster: &Cluster, file: &Path) {
    let mut bytes = std::fs::read(file).expect("it was saved");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(cluster.dir().join("bad.snapshot"), &bytes).expect("writable");
    for what in [&["restore", "--yes", "bad.snapshot"][..], &["inspect", "bad.snapshot"]] {
        let refused = snapshot(cluster, what);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("bad.snapshot cannot be used: it is damaged"), "{refused:?}");
    }
    let foreign = cluster.dir().join("web.yml");
    std::fs::write(&foreign, job::shell("web", 1, "true")).expect("writable");
    let refused = snapshot(cluster, &["restore", "--yes", "web.yml"]);
    assert!(refused.code == 2 && refused.stderr.contains("it is no snapshot of minijob"), "{refused:?}");
}

/// A server that leads writes a snapshot from time to time, keeps as many as it is told, and leaves alone what is not its own.
#[test]
fn servers_write_snapshots_by_themselves_and_keep_the_last_ones() {
    let mut cluster = Cluster::start(0);
    let to = cluster.dir().join("backups");
    std::fs::create_dir(&to).expect("ours");
    std::fs::write(to.join("mine.snapshot"), "mine").expect("writable");
    cluster.kill_server(Signal::SIGTERM);
    let dir = to.display().to_string();
    cluster.start_server_with(&[
        ("MINIJOB_SNAPSHOTS_TO", &dir),
        ("MINIJOB_SNAPSHOTS_EVERY", "1s"),
        ("MINIJOB_SNAPSHOTS_KEEP", "2"),
    ]);
    let mut seen = BTreeSet::new();
    until(SOON, "four were written and two are left", || {
        let own = own_files(&to);
        seen.extend(own.iter().cloned());
        if seen.len() >= 4 && own.len() == 2 { Ok(()) } else { Err(format!("{own:?} of {seen:?}")) }
    });
    assert!(to.join("mine.snapshot").exists());
    cluster.kill_server(Signal::SIGTERM);
    let newest = own_files(&to).pop().expect("two");
    cluster.start_server();
    let seen = snapshot(&cluster, &["inspect", &newest.to_string_lossy()]);
    assert!(seen.code == 0 && seen.stdout.contains("0 jobs, 0 nodes, 0 allocations"), "{seen:?}");
}

fn own_files(dir: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("readable").path());
    let is_own =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("minijob-"));
    let mut own: Vec<PathBuf> = paths.filter(is_own).collect();
    own.sort();
    own
}
