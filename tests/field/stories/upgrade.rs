use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use nix::sys::signal::Signal;
use tests::command::program;
use tests::wait::until;

use crate::cluster::{Cluster, LONG};
use crate::machine::Machine;
use crate::writer::Writer;

/// Puts a build in the place of a machine's program, as packages do: the old file is gone, whatever still runs it. No two builds are
/// the same file, byte by byte.
fn install(machine: &mut Machine, build: &str) {
    let (fresh, path) = (machine.dir().join("fresh"), machine.dir().join("minijob"));
    std::fs::copy(program(), &fresh).expect("there is room");
    // What stands behind the last section is not looked at.
    let mut file: File = OpenOptions::new().append(true).open(&fresh).expect("ours");
    file.write_all(build.as_bytes()).expect("there is room");
    std::fs::rename(&fresh, &path).expect("ours");
    machine.program = Some(path);
}

fn runs(pid: u32) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/exe")).expect("it runs")
}

/// Promises 14 and 23: on one machine after another the program is replaced, and server and agent are told to stop and started again,
/// while somebody writes. No command has to be typed again, no task is started again, no line of output is missing, and an end that
/// came while an agent was away is known.
#[test]
fn servers_and_agents_are_upgraded_one_by_one_under_load() {
    let mut cluster = Cluster::bare(3, 3);
    cluster.machines.iter_mut().for_each(|machine| install(machine, "old"));
    cluster.form();
    cluster.serve("web", 6);
    let counts = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.05; done";
    cluster.submit(&tests::job::shell("counter", 3, counts));
    cluster.wait_job("counter", "it is healthy", |status| status["healthy"] == 3);
    let gates: Vec<_> = (0..3).map(|number| cluster.net.dir().join(format!("gate{number}"))).collect();
    for (number, gate) in gates.iter().enumerate() {
        let script = format!("while ! test -e {}; do sleep 0.05; done; exit 7", gate.display());
        let pinned = format!("restart: {{attempts: 0}}\nreschedule: {{attempts: 0}}\nnode: n{number}");
        cluster.submit(&tests::job::with(&format!("ends{number}"), "batch", 1, &script, &pinned));
        cluster.wait_job(&format!("ends{number}"), "it runs", |status| status["running"] == 1);
    }
    let before = cluster.sleepers();

    let begin = Instant::now();
    let writer = Writer::start(cluster.person());
    for (number, gate) in gates.iter().enumerate() {
        install(&mut cluster.machines[number], "new");
        cluster.end_server(number, Signal::SIGTERM);
        cluster.start_server(number);
        cluster.wait_for_servers(3);
        cluster.end_agent(number, Signal::SIGTERM);
        std::fs::write(gate, "").expect("writable");
        let is_over = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            !String::from_utf8_lossy(&line).contains("exit 7")
        };
        until(LONG, "what waits at the gate has ended", || {
            let left = cluster.machines[number].space.pids();
            if left.iter().all(is_over) { Ok(()) } else { Err(format!("{left:?}")) }
        });
        cluster.start_agent(number);
        cluster.wait_for_nodes(3);
    }
    let written = writer.finish();
    println!("{} writes, the longest pause {:?}", written.acknowledged.len(), written.longest_gap(begin));
    assert_eq!(written.refused, [""; 0], "no command had to be typed again");
    written.is_kept_by(&cluster);
    for machine in &cluster.machines {
        for daemon in [&machine.server, &machine.agent].into_iter().flatten() {
            assert_eq!(runs(daemon.pid()), machine.dir().join("minijob"), "it is the new one");
        }
    }
    cluster.wait_settled("web", &[0, 1, 2], 6);
    assert_eq!(cluster.sleepers(), before, "nobody was touched");
    for number in 0..3 {
        let status = cluster.wait_job(&format!("ends{number}"), "its end is known", |status| {
            status["allocs"][0]["state"] == "failed"
        });
        assert_eq!(status["allocs"][0]["tasks"][0]["last_end"]["reason"]["exit"], 7, "{status}");
        let logs = until(LONG, "its agent is connected again", || {
            let logs = cluster.run(&["logs", &format!("counter.counter.{number}")]);
            if logs.code == 0 { Ok(logs) } else { Err(format!("{logs:?}")) }
        });
        let lines = logs.stdout.lines().filter_map(|line| line.rsplit(' ').next()?.parse().ok());
        let lines: Vec<u64> = lines.collect();
        assert!(lines.len() > 20, "{logs:?}");
        assert!(
            lines.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "no line is missing or doubled: {logs:?}"
        );
    }
}
