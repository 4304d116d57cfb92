use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tests::cluster::{Cluster, pids};
use tests::notes::Notes;
use tests::wait::until;
use tests::{job, process};

/// As many allocations as a node has at once.
const TASKS: u32 = 1000;

/// No wait for all of them takes longer, on a small machine that others use too.
const PATIENCE: Duration = Duration::from_secs(180);

/// A node carries 1,000 tasks: a kill of its agent in the middle of the starts and one when all run cost nothing and start nothing
/// twice, and when they are stopped nothing of them is left.
#[test]
fn an_agent_with_a_thousand_tasks_may_be_killed_and_starts_none_twice() {
    let mut cluster = Cluster::start_patient(1);
    let notes = Notes::new(cluster.dir());
    let script = format!("echo $$ >> {}; exec sleep 100000", notes.path("starts"));
    cluster.submit(&job::shell("many", TASKS, &script));
    until(PATIENCE, "some of them run, and not all", || match started(&notes).len() {
        found if found >= 200 => Ok(()),
        found => Err(found.to_string()),
    });
    cluster.kill_agent(0);
    cluster.start_agent(0);
    let status = all_run(&cluster);
    let before = pids(&status);
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), TASKS as usize, "each is a process of its own");
    until(PATIENCE, "each has said that it was started", || match started(&notes) {
        all if all.len() >= before.len() => Ok(()),
        some => Err(some.len().to_string()),
    });

    cluster.kill_agent(0);
    assert!(before.iter().all(|pid| process::is_alive(*pid)), "they go on without an agent");
    cluster.start_agent(0);
    for last in ["many.many.0", "many.many.999"] {
        until(PATIENCE, "the new agent reaches what the old one started", || {
            let answer = cluster.run(&["signal", last, "-s", "CONT"]);
            if answer.code == 0 { Ok(()) } else { Err(format!("{answer:?}")) }
        });
    }
    let status = all_run(&cluster);
    assert_eq!(pids(&status), before, "the same processes");
    for alloc in status["allocs"].as_array().expect("allocations") {
        assert_eq!(alloc["tasks"][0]["attempt"], 1, "{alloc}");
    }
    assert_eq!(started(&notes), before, "each was started once");

    let groups: Vec<PathBuf> = before.iter().flat_map(|pid| groups(*pid)).collect();
    assert_eq!(cluster.run(&["stop", "many"]).code, 0);
    until(PATIENCE, "all have ended", || {
        let left = before.iter().filter(|pid| process::is_alive(**pid)).count();
        let job = summary(&cluster)?;
        if left == 0 && job["health"] == "stopped" { Ok(()) } else { Err(format!("{left} live; {job}")) }
    });
    until(PATIENCE, "their control groups are gone", || match groups.iter().find(|group| group.is_dir()) {
        None => Ok(()),
        Some(group) => Err(group.display().to_string()),
    });
    assert_eq!(process::mentioning(&cluster.agent_dir(0).join("allocs")), [0u32; 0]);
    assert_eq!(started(&notes), before, "nothing was started on the way");
}

/// The processes that were started, in the order of their numbers.
fn started(notes: &Notes) -> Vec<u32> {
    let mut pids: Vec<u32> =
        notes.numbers("starts").into_iter().filter_map(|pid| pid.try_into().ok()).collect();
    pids.sort_unstable();
    pids
}

fn all_run(cluster: &Cluster) -> Value {
    until(PATIENCE, "all of them run", || {
        let job = summary(cluster)?;
        if job["running"] == TASKS { Ok(()) } else { Err(job.to_string()) }
    });
    cluster.status("many").expect("it is there")
}

/// The job's line in the list: its own document names all allocations, which is much to ask for many times.
fn summary(cluster: &Cluster) -> Result<Value, String> {
    let jobs = cluster.http("/v1/jobs")?;
    jobs["items"].get(0).cloned().ok_or_else(|| jobs.to_string())
}

/// The control groups of a process, except those that the agent has too.
fn groups(pid: u32) -> Vec<PathBuf> {
    let of = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let (theirs, ours) = (of(&pid.to_string()), of("self"));
    let own = theirs.lines().filter(|line| !ours.lines().any(|other| other == *line));
    let paths = own.filter_map(|line| line.rsplit(':').next()?.strip_prefix('/'));
    let roots =
        || std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    let found =
        paths.flat_map(|path| roots().chain(["/sys/fs/cgroup".into()]).map(move |root| root.join(path)));
    found.filter(|path| path.is_dir()).collect()
}
