//! P4, the footprint: the binary, idle daemons, the command line, and the start of a server with nothing, and with much, to remember.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use proto::wire::v1::{PutJobRequest, StopJobRequest};
use tests::command::program;
use tokio::runtime::Runtime;

use crate::Bench;
use crate::control::{placed, purge, put, service};
use crate::meter::{children_cpu_ns, cpu_ns, memory};
use crate::peers::{Ground, Kind, Peer, Present};
use crate::report::{Row, Table, median};
use crate::rig::{Client, Rig};
use crate::stamps::Stamps;
use crate::{probe, world};

/// Whose daemons idle beside ours.
const KINDS: [Kind; 2] = [Kind::Docker, Kind::Nomad];
/// How long daemons idle in all, in equal parts.
const IDLE: Duration = Duration::from_secs(30);
/// Runs of each command in all.
const COMMANDS: usize = 50;
/// Allocations in the states of restarted servers. The larger one takes longest and has one round.
const STATES: [usize; 2] = [100_000, 1_000_000];
/// What a slow disk adds to each sync.
const SLOW: Duration = Duration::from_millis(1);
/// Until a restarted server has placed a job.
const PLACED_WITHIN: Duration = Duration::from_secs(60);

/// Runs the benchmark.
pub(crate) fn run(bench: &Bench, runtime: &Runtime) -> Result<Table, String> {
    runtime.block_on(async {
        let mut table = Table::default();
        let mut binary = Row::new("binary, stripped", "MB");
        binary.add(std::fs::metadata(program()).map_err(|error| error.to_string())?.len() as f64 / 1e6);
        table.push(binary);
        idle_and_commands(bench, &mut table).await?;
        first_write(bench, &mut table).await?;
        for (number, allocs) in STATES.iter().enumerate() {
            let rounds = if number == 0 { bench.rounds } else { 1 };
            remember(bench, bench.size(*allocs), rounds, &mut table).await?;
        }
        table.note("Idle: one server, one agent, one node, no job. The keeper is the tasks' parent and its guard, two processes. MB are 10^6 bytes.");
        table.note("Limit probe of the commands: a Rust program that prints one word. First write: from the start of the process to the answer to a submission (no state) or to a stop (state) on the log.");
        table.note("States are made in this process by the server's own functions - commands through its log, then a snapshot - with 5,000 nodes; every allocation is reported running and healthy.");
        Ok(table)
    })
}

async fn idle_and_commands(bench: &Bench, table: &mut Table) -> Result<(), String> {
    let rig = Rig::started(&bench.tools).await?;
    let stamps = Stamps::new(rig.dir(), "stamps");
    let ground = Ground::new(&bench.tools, &stamps, "stay");
    let present = Present::of(&KINDS, &ground);
    let peers: Result<Vec<Box<dyn Peer>>, String> =
        present.kinds().iter().map(|kind| kind.start(&ground)).collect();
    let peers = peers?;
    let daemons =
        [("server", vec![rig.server_pid()]), ("agent", vec![rig.agent_pid()]), ("keeper", rig.keeper_pids())];
    let theirs = present.kinds().iter().zip(&peers).map(|(kind, peer)| (kind.name(), peer.pids()));
    let idle = daemons.into_iter().chain(theirs).map(|(name, pids)| {
        let row = |what: &str, unit| Row::new(format!("idle {name}, {what}"), unit);
        (pids, row("RSS", "MB"), row("PSS", "MB"), row("CPU", "% of a core"))
    });
    let mut idle: Vec<_> = idle.collect();
    let mut version = Row::new("`minijob version`", "ms");
    let mut status = Row::new("`minijob status`", "ms");
    for _ in 0..bench.rounds {
        let before: Vec<u64> = idle.iter().map(|(pids, ..)| cpu_ns(pids)).collect();
        let begun = Instant::now();
        tokio::time::sleep(IDLE / if bench.quick { 10 } else { 1 } / bench.rounds as u32).await;
        let over = begun.elapsed().as_nanos() as f64;
        for ((pids, rss, pss, cpu), before) in idle.iter_mut().zip(before) {
            cpu.add(cpu_ns(pids).saturating_sub(before) as f64 / over * 100.0);
            let memory = memory(pids);
            rss.add(memory.rss as f64 / 1e6);
            pss.add(memory.pss as f64 / 1e6);
        }
        let runs = COMMANDS.div_ceil(bench.rounds);
        let (limit, _) = times(runs, || Command::new(bench.tools.hello()))?;
        for (row, word) in [(&mut version, "version"), (&mut status, "status")] {
            let (taken, cpu) = times(runs, || rig.command(&[word]))?;
            row.add_with(taken, limit);
            row.cpu(cpu);
        }
    }
    for (_, rss, pss, cpu) in idle {
        table.push(rss);
        table.push(pss);
        table.push(cpu);
    }
    table.push(version);
    table.push(status);
    table.note("Docker is dockerd and the containerd that it starts, Nomad an agent with `-dev`: server and client in one process.");
    for note in present.notes() {
        table.note(note);
    }
    Ok(())
}

/// Runs a command again and again; returns the median of its milliseconds, and the CPU of one.
fn times(runs: usize, command: impl Fn() -> Command) -> Result<(f64, f64), String> {
    let before = children_cpu_ns();
    let taken: Result<Vec<f64>, String> = (0..runs).map(|_| probe::run_ms(command())).collect();
    let cpu = children_cpu_ns().saturating_sub(before) as f64 / 1e6 / runs as f64;
    Ok((median(&taken?), cpu))
}

/// From nothing to the first committed write.
async fn first_write(bench: &Bench, table: &mut Table) -> Result<(), String> {
    let mut quick = Row::new("server start to first committed write, no state", "ms");
    let mut slow = Row::new("the same, 1 ms added to each sync", "ms");
    for _ in 0..bench.rounds {
        let limit = probe::run_ms(Command::new(bench.tools.hello()))?;
        for (row, extra) in [(&mut quick, Duration::ZERO), (&mut slow, SLOW)] {
            let mut rig = Rig::new(&bench.tools);
            rig.slow_syncs_by(extra);
            let begun = Instant::now();
            rig.start_server();
            let client = rig.client().await?;
            let request = put(&service("first", 1, "/bin/true", &[], Duration::from_secs(1)));
            rig.once_led(|| {
                let (mut client, request) = (client.clone(), rig.request(request.clone()));
                async move { client.put_job(request).await }
            })
            .await?;
            row.add_with(begun.elapsed().as_secs_f64() * 1e3, limit);
            row.cpu(cpu_ns(&[rig.server_pid()]) as f64 / 1e6);
        }
    }
    table.push(quick);
    table.push(slow);
    Ok(())
}

/// Restarts a server that has a large state.
async fn remember(bench: &Bench, allocs: usize, rounds: usize, table: &mut Table) -> Result<(), String> {
    let dir = tempfile::tempdir_in(bench.tools.dir()).map_err(|error| error.to_string())?;
    let data = dir.path().join("server");
    let begun = Instant::now();
    world::build(&data, allocs).await?;
    println!("a state of {allocs} allocations was made in {:.1} s", begun.elapsed().as_secs_f64());
    let mut start = Row::new(format!("server start to first committed write, {allocs} allocations"), "ms");
    let mut rss = Row::new(format!("server with {allocs} allocations, RSS"), "MB");
    let mut placing = Row::new(format!("the same start to the first placement, {allocs} allocations"), "ms");
    let snapshot = snapshot_bytes(&data);
    for round in 0..rounds {
        let mut rig = Rig::new(&bench.tools);
        rig.adopt_server(&data);
        let begun = Instant::now();
        rig.start_server();
        let client = rig.client().await?;
        // A job that was stopped in an earlier round is stopped again: that is a write too.
        let request = purge(&world::job_name(round % allocs.div_ceil(world::PER_JOB)));
        let stop = StopJobRequest { purge: false, ..request };
        rig.once_led(|| {
            let (mut client, request) = (client.clone(), rig.request(stop.clone()));
            async move { client.stop_job(request).await }
        })
        .await?;
        let written = begun.elapsed();
        start.add(written.as_secs_f64() * 1e3);
        start.cpu(cpu_ns(&[rig.server_pid()]) as f64 / 1e6);
        let after = put(&service(&format!("after-{round}"), 1, "/bin/true", &[], Duration::from_secs(1)));
        first_placement(&rig, &client, after).await?;
        placing.add(begun.elapsed().as_secs_f64() * 1e3);
        rss.add(memory(&[rig.server_pid()]).rss as f64 / 1e6);
    }
    table.push(start);
    table.push(placing);
    table.push(rss);
    table.note(format!("The snapshot of {allocs} allocations has {:.1} MB.", snapshot as f64 / 1e6));
    Ok(())
}

/// Submits a job until the answer says where it was placed: an answer does not wait long for the scheduler.
async fn first_placement(rig: &Rig, client: &Client, job: PutJobRequest) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let reply = rig.once_led(|| {
            let (mut client, request) = (client.clone(), rig.request(job.clone()));
            async move { client.put_job(request).await }
        });
        if placed(reply.await?.get_ref()) == 1 {
            return Ok(());
        }
        if begun.elapsed() > PLACED_WITHIN {
            return Err("nothing is placed after a restart".to_owned());
        }
    }
}

/// Returns the bytes of the newest snapshot below a directory.
fn snapshot_bytes(dir: &Path) -> u64 {
    let mut folders = vec![dir.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "snapshot") {
                bytes = bytes.max(entry.metadata().map_or(0, |data| data.len()));
            }
        }
    }
    bytes
}
