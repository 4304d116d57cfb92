use std::time::Duration;

use serde_json::Value;
use tests::cluster::{Cluster, pids};
use tests::notes::Notes;
use tests::wait::until;
use tests::{job, process};

use crate::memory;

/// Loops of one job; there are as many jobs as delays.
const LOOPS: usize = 25;

/// How long each job waits between two tries, in milliseconds.
const DELAYS: [u64; 4] = [400, 800, 1600, 3200];

/// What the node may need more of memory after [`STARTS`] starts, in bytes: less than their ends would take if they were kept.
const GROWTH: u64 = 3 << 20;

/// Starts between the two looks at the node's memory; each prints more than travels with its end (4 KiB).
const STARTS: usize = 1000;

/// No wait takes longer, on a small machine that others use too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Promises 3 and 4: a hundred crash loops at once keep their pace, each end of them is counted (a kill of the agent included), they
/// cost no memory that is not given back, and a neighbour does not notice them.
#[test]
fn a_hundred_crash_loops_keep_their_pace_and_disturb_nobody() {
    let mut cluster = Cluster::start_patient(1);
    let loops = Loops(Notes::new(cluster.dir()));
    let tick = format!(
        "n=0; while true; do n=$((n+1)); echo $n; date +%s%N >> {}; sleep 0.1; done",
        loops.0.path("ticks")
    );
    let neighbour = cluster.serve("steady", 1, &tick);
    for (job, delay) in DELAYS.iter().enumerate() {
        cluster.submit(&loops.job(job, *delay));
    }
    loops.wait_until_each_has(2);
    cluster.kill_agent(0);
    cluster.start_agent(0);
    loops.wait_until_each_has(3);

    let (before, begin) = (memory_of_node(&cluster), loops.starts());
    until(PATIENCE, "they go on", || {
        let more = loops.starts() - begin;
        if more >= STARTS { Ok(()) } else { Err(more.to_string()) }
    });
    let after = memory_of_node(&cluster);
    assert!(before > 0 && after < before + GROWTH, "{before} bytes became {after} in {STARTS} starts");

    // One job is stopped while it loops; the others find their gate open and stay.
    assert_eq!(cluster.run(&["stop", "loops-0"]).code, 0);
    cluster.wait_ended(PATIENCE, "loops-0");
    let stopped = loops.counts(0);
    loops.0.write("gate");
    for job in 1..DELAYS.len() {
        until(PATIENCE, "all stay, and every start was counted and is the end of the one before", || {
            let stay = loops.0.numbers(&format!("{}.stay", name(job))).len();
            let status = cluster.status(&name(job))?;
            let counted: Vec<usize> = (0..LOOPS).map(|index| attempts(&status, index)).collect();
            let (running, made) = (&status["running"], loops.counts(job));
            if (stay, running.as_u64()) == (LOOPS, Some(LOOPS as u64)) && counted == made {
                return Ok(());
            }
            Err(format!("{stay} stay, {running} run, counted {counted:?} of {made:?}"))
        });
        assert_eq!(cluster.run(&["stop", &name(job)]).code, 0);
    }
    for (job, delay) in DELAYS.iter().enumerate() {
        cluster.wait_ended(PATIENCE, &name(job));
        loops.kept_pace(job, *delay);
    }
    assert_eq!(loops.counts(0), stopped, "what was stopped was not started again");

    let status = cluster.status("steady").expect("it is there");
    assert_eq!((pids(&status), attempts(&status, 0)), (neighbour.clone(), 1), "{status}");
    assert_eq!(loops.tasks(&cluster), neighbour, "nothing else is left");
    loops.neighbour_was_undisturbed(&cluster);
}

fn name(job: usize) -> String {
    format!("loops-{job}")
}

fn attempts(status: &Value, index: usize) -> usize {
    let of_slot = |alloc: &&Value| alloc["index"] == index;
    let mut allocs = status["allocs"].as_array().into_iter().flatten().filter(of_slot);
    let attempt = allocs.next().and_then(|alloc| alloc["tasks"][0]["attempt"].as_u64());
    assert!(allocs.next().is_none(), "slot {index} was never replaced: {status}");
    usize::try_from(attempt.expect("it was started")).expect("a count")
}

/// What the agent and the processes of its keeper take, without the tasks; the least of some looks, because a task that is being made
/// is for a moment a copy of who makes it.
fn memory_of_node(cluster: &Cluster) -> u64 {
    let look = |_| {
        let tasks = process::mentioning(&cluster.agent_dir(0).join("allocs"));
        let node = process::mentioning(&cluster.agent_dir(0)).into_iter().filter(|pid| !tasks.contains(pid));
        node.filter_map(memory::resident).sum()
    };
    (0..20).map(look).min().unwrap_or(0)
}

/// What the tasks note: when each starts.
struct Loops(Notes);

impl Loops {
    fn job(&self, job: usize, delay: u64) -> String {
        let note = self.0.path(&format!("{}.$MINIJOB_ALLOC_INDEX", name(job)));
        let script = format!(
            "date +%s%N >> {note}; head -c 5000 /dev/zero | tr '\\0' x; test -e {} || exit 1; echo 1 >> {}; exec sleep 100000",
            self.0.path("gate"),
            self.0.path(&format!("{}.stay", name(job))),
        );
        let policy = format!("restart: {{attempts: -1, delay: {delay}ms, backoff: constant, jitter: 0%}}");
        job::with(&name(job), "service", LOOPS as u32, &script, &policy)
    }

    fn counts(&self, job: usize) -> Vec<usize> {
        (0..LOOPS).map(|index| self.0.numbers(&format!("{}.{index}", name(job))).len()).collect()
    }

    fn starts(&self) -> usize {
        (0..DELAYS.len()).flat_map(|job| self.counts(job)).sum()
    }

    fn wait_until_each_has(&self, starts: usize) {
        until(PATIENCE, "each was started so many times", || {
            let least = (0..DELAYS.len()).flat_map(|job| self.counts(job)).min().unwrap_or(0);
            if least >= starts { Ok(()) } else { Err(format!("{least} of {starts}")) }
        });
    }

    /// A start comes its delay after the end of the one before, and so at least that after its start.
    fn kept_pace(&self, job: usize, delay: u64) {
        for index in 0..LOOPS {
            let times = self.0.numbers(&format!("{}.{index}", name(job)));
            let least = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) / 1_000_000).min();
            assert!(least.is_some_and(|least| least >= delay), "{}.{index}: {least:?} ms", name(job));
        }
    }

    fn tasks(&self, cluster: &Cluster) -> Vec<u32> {
        let all = process::mentioning(&cluster.agent_dir(0).join("allocs"));
        // The neighbour's children come and go.
        all.into_iter()
            .filter(|pid| {
                std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "sh\n")
            })
            .collect()
    }

    fn neighbour_was_undisturbed(&self, cluster: &Cluster) {
        let ticks = self.0.numbers("ticks");
        let longest =
            ticks.windows(2).map(|pair| Duration::from_nanos(pair[1].saturating_sub(pair[0]))).max();
        assert!(
            longest.is_some_and(|longest| longest < Duration::from_secs(2)),
            "it stood still for {longest:?}"
        );
        let logs = cluster.run(&["logs", "steady"]).stdout;
        let numbers: Vec<usize> = logs.lines().filter_map(|line| line.parse().ok()).collect();
        assert!(numbers.len() + 1 >= ticks.len(), "{} lines, {} ticks", numbers.len(), ticks.len());
        assert!(numbers.iter().enumerate().all(|(place, number)| place + 1 == *number), "no line is missing");
    }
}
