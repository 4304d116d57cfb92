use std::path::PathBuf;
use std::time::Duration;

use tests::cluster::Cluster;
use tests::command::Answer;
use tests::disk::with_own_mounts;
use tests::job;
use tests::wait::until;

/// What is over is looked at every ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Promise 10 with its end: the output of an ended allocation is kept as long as its job wants it, and then it is gone, and said to be.
#[test]
fn the_output_of_what_has_ended_is_kept_as_long_as_its_job_wants_it() {
    let cluster = Cluster::start(1);
    let brief = "restart: {attempts: 0}\nreschedule: {attempts: 0}\nlogs: {retain: 1s}";
    for (name, more) in [("brief", brief), ("usual", "restart: {attempts: 0}\nreschedule: {attempts: 0}")] {
        let done =
            cluster.submit_with(&job::with(name, "batch", 1, "echo the last words", more), &["--wait"]);
        assert_eq!(done.code, 0, "{done:?}");
        let answer = cluster.run(&["logs", name]);
        assert_eq!((answer.code, answer.stdout.as_str()), (0, "the last words\n"), "{answer:?}");
    }
    until(PATIENCE, "its time is over", || {
        if logs(&cluster, 0).len() == 1 { Ok(()) } else { Err(format!("{:?}", logs(&cluster, 0))) }
    });
    assert_eq!(cluster.run(&["logs", "usual"]).stdout, "the last words\n");
    let gone = cluster.run(&["logs", "brief"]);
    let told = gone.stderr.matches("keeps nothing of allocation").count();
    assert_eq!((gone.code, gone.stdout.as_str(), told), (0, "", 1), "{gone:?}");
    let status = cluster.status("brief").expect("how it ended is known");
    assert_eq!(status["allocs"][0]["state"], "complete", "{status}");
}

/// A disk that is nearly full: what ended first loses its output first, so that what runs keeps its own.
#[test]
fn on_a_disk_without_room_ended_output_goes_and_that_of_running_tasks_stays() {
    with_own_mounts(|| {
        let mut cluster = Cluster::start_patient(0);
        let disk = cluster.add_agent_on_disk(16 << 20);
        cluster.wait_for_nodes(1);
        cluster.serve("runs", 1, "echo it runs; exec sleep 100000");
        for name in ["first", "second"] {
            let done =
                cluster.submit_with(&job::batch(name, "head -c 100000 /dev/zero | tr '\\0' x"), &["--wait"]);
            assert_eq!(done.code, 0, "{done:?}");
        }
        assert_eq!(logs(&cluster, 0).len(), 3, "all is kept while there is room");
        disk.fill();
        until(PATIENCE, "the output of what has ended is gone", || {
            let left = logs(&cluster, 0);
            if left.len() == 1 { Ok(()) } else { Err(format!("{left:?}")) }
        });
        let answer: Answer = cluster.run(&["logs", "runs"]);
        assert_eq!((answer.code, answer.stdout.as_str()), (0, "it runs\n"), "{answer:?}");
        until(PATIENCE, "the agent says so", || {
            let said = cluster.said();
            let told = said.matches("the disk is low: the logs of this ended allocation are removed").count();
            if told >= 2 { Ok(()) } else { Err(said) }
        });
        disk.empty();
    });
}

/// The folders of logs of a node.
fn logs(cluster: &Cluster, agent: usize) -> Vec<PathBuf> {
    let allocs = std::fs::read_dir(cluster.agent_dir(agent).join("allocs")).into_iter().flatten().flatten();
    allocs.map(|alloc| alloc.path().join("logs")).filter(|logs| logs.is_dir()).collect()
}
