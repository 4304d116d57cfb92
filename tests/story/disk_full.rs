use std::time::Duration;

use tests::cluster::{Cluster, pids};
use tests::disk::with_own_mounts;
use tests::notes::Notes;
use tests::wait::{SOON, until};
use tests::{job, process};

/// The disk under an agent's data.
const DISK: u64 = 16 << 20;

/// Bytes of a line, its end included.
const LINE: usize = 1000;

/// Promise 14 at its edge: the disk under the logs is full. The task prints on and never waits, its neighbours and its agent go on, and
/// when there is room again output goes on with a word about every byte that is missing.
#[test]
fn a_task_does_not_notice_that_the_disk_under_its_logs_is_full() {
    with_own_mounts(|| {
        let mut cluster = Cluster::start_patient(0);
        let disk = cluster.add_agent_on_disk(DISK);
        cluster.wait_for_nodes(1);
        let notes = Notes::new(cluster.dir());
        let script = format!(
            "n=0; while true; do n=$((n+1)); printf '%0{}d\\n' $n; echo $n >> {}; sleep 0.01; done",
            LINE - 1,
            notes.path("lines")
        );
        let pid = cluster.serve("loud", 1, &script);
        let printed = || notes.numbers("lines").len();
        let prints =
            |more: usize| {
                let least = printed() + more;
                until(SOON, "it prints on", || {
                    if printed() >= least { Ok(()) } else { Err(printed().to_string()) }
                });
            };
        prints(10);
        disk.fill();
        // More than pipe and last page hold: who waited for the disk would stand still.
        prints(300);
        let status = cluster.status("loud").expect("the server answers");
        assert_eq!((pids(&status), &status["allocs"][0]["tasks"][0]["attempt"]), (pid.clone(), &1.into()));
        assert_eq!(cluster.run(&["exec", "loud", "--", "true"]).code, 0, "its agent answers");

        disk.empty();
        prints(100);
        let last = printed();
        let logs = until(SOON, "what came since is in the log", || {
            let logs = cluster.run(&["logs", "loud"]).stdout;
            if logs.contains(&format!("{last:0width$}\n", width = LINE - 1)) {
                Ok(logs)
            } else {
                Err(format!("{} bytes", logs.len()))
            }
        });
        assert!(missing(&logs) > 200 * LINE, "it was full: {} bytes are missing", missing(&logs));
        whole_but_for_what_is_said(&logs);
        assert_eq!(cluster.run(&["stop", "loud"]).code, 0);
        cluster.wait_ended(SOON, "loud");
        until(SOON, "the agent says it too", || {
            let said = cluster.said();
            if said.contains("output did not get where it should") { Ok(()) } else { Err(said) }
        });
    });
}

const DROPPED: &str = " bytes of output were dropped here";

/// How much the log says that it does not have.
fn missing(logs: &str) -> usize {
    logs.lines().filter_map(dropped).sum()
}

fn dropped(line: &str) -> Option<usize> {
    line.strip_prefix("[minijob: ")?.split_once(DROPPED)?.0.parse().ok()
}

/// Every line of the task is at its place in all that it printed, where what is said to be missing counts as if it were there.
fn whole_but_for_what_is_said(logs: &str) {
    let mut place = 0;
    for line in logs.lines() {
        if let Some(bytes) = dropped(line) {
            place += bytes;
            continue;
        }
        let number = if line.len() == LINE - 1 { line.parse::<usize>().ok() } else { None };
        if let Some(number) = number {
            assert_eq!(place, (number - 1) * LINE, "line {number}");
        }
        // A part of a line has no end of its own: that belongs to the word about what is missing.
        place += if number.is_some() { LINE } else { line.len() };
    }
}

/// While the disk refuses what an agent must remember nothing is started, and said; what runs is left alone, also by an agent that comes
/// back then; what is to stop is stopped; and room on the disk is all that it takes to go on.
#[test]
fn an_agent_whose_disk_is_full_starts_nothing_stops_what_it_must_and_goes_on_when_there_is_room() {
    with_own_mounts(|| {
        let mut cluster = Cluster::start_patient(0);
        let disk = cluster.add_agent_on_disk(DISK);
        cluster.wait_for_nodes(1);
        let steady = cluster.serve("steady", 1, "exec sleep 100000");
        let goes = cluster.serve("goes", 1, "exec sleep 100000");
        let notes = Notes::new(cluster.dir());
        disk.fill();
        cluster.submit(&job::shell(
            "late",
            1,
            &format!("echo $$ >> {}; exec sleep 100000", notes.path("late")),
        ));
        said(&cluster, "it says that it cannot save, and why");
        assert_eq!(cluster.run(&["stop", "goes"]).code, 0);
        let gone =
            |pid: u32| {
                until(SOON, "it has ended", || {
                    if process::is_alive(pid) { Err("it runs".into()) } else { Ok(()) }
                })
            };
        gone(goes[0]);
        cluster.wait_ended(SOON, "goes");

        cluster.kill_agent(0);
        cluster.start_agent(0);
        let reached = || {
            let answer = cluster.run(&["signal", "steady", "-s", "CONT"]);
            if answer.code == 0 { Ok(()) } else { Err(format!("{answer:?}")) }
        };
        until(SOON, "an agent that starts on a full disk finds what runs", reached);
        said(&cluster, "it cannot save either");
        assert_eq!(notes.numbers("late"), [0u64; 0], "what is not on disk is not started");

        disk.empty();
        let status = cluster.wait_job("late", "it runs", |status| status["running"] == 1);
        until(SOON, "it has said so", || {
            if notes.numbers("late").is_empty() { Err("no".into()) } else { Ok(()) }
        });
        assert_eq!(
            notes.numbers("late"),
            pids(&status).into_iter().map(u64::from).collect::<Vec<_>>(),
            "once"
        );
        assert_eq!(pids(&cluster.status("steady").expect("it is there")), steady);
    });
}

fn said(cluster: &Cluster, what: &str) {
    until(Duration::from_secs(40), what, || {
        let said = cluster.said();
        if said.contains("cannot save") && said.contains("No space left on device") {
            Ok(())
        } else {
            Err(said)
        }
    });
}

/// A disk without any room for a first start: the agent says so and ends, and nothing of it is left that the next start trips over.
#[test]
fn a_first_start_on_a_full_disk_says_so_and_the_next_one_works() {
    with_own_mounts(|| {
        let mut cluster = Cluster::start_patient(0);
        let disk = tests::disk::Disk::mount(&cluster.agent_dir(0), DISK);
        disk.fill();
        let dir = cluster.agent_dir(0).display().to_string();
        let answer = cluster.run(&["agent", "--servers", cluster.addr(), "--data-dir", &dir, "--name", "n0"]);
        assert_eq!(answer.code, 1, "{answer:?}");
        assert!(
            answer.stderr.contains("No space left on device") && answer.stderr.contains(&dir),
            "{answer:?}"
        );
        assert_eq!(process::mentioning(&cluster.agent_dir(0)), [0u32; 0]);
        disk.empty();
        cluster.add_agent();
        cluster.wait_for_nodes(1);
        cluster.serve("web", 1, "exec sleep 100000");
    });
}
