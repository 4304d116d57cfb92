//! P2, the restart: from SIGKILL of a task to the first instruction of its next attempt; and what crash loops cost.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::runtime::Runtime;

use crate::Bench;
use crate::control::{purge_all, put, service};
use crate::meter::{cpu_ns, now_ns};
use crate::p2_peers::Others;
use crate::probe;
use crate::report::{Row, Table, median};
use crate::rig::{Client, Rig};
use crate::stamps::{Stamp, Stamps};

/// Kills in one round; five rounds are the 200 of the benchmark.
const KILLS: usize = 40;
/// Tasks that take turns when each must have run for a moment only: with two, each is killed at just that age.
const YOUNG: usize = 2;
/// The policy's delay, which is subtracted.
pub(crate) const DELAY: Duration = Duration::from_millis(100);
/// How long a task has run when it is killed.
pub(crate) const AGES: [Duration; 2] = [Duration::from_secs(3), Duration::from_millis(200)];
/// Tasks in crash loops, one start a second each, as runit does it.
pub(crate) const LOOPS: usize = 100;
const LOOP_DELAY: Duration = Duration::from_secs(1);
/// How long the loops are watched in one round.
const WATCHED: Duration = Duration::from_secs(5);
/// Until a task must have begun.
const SOON: Duration = Duration::from_secs(30);

struct Rows {
    ours: [Row; 2],
    loops: Row,
}

/// Runs the benchmark.
pub(crate) fn run(bench: &Bench, runtime: &Runtime) -> Result<Table, String> {
    runtime.block_on(async {
        let rig = Rig::started(&bench.tools).await?;
        let mut client = rig.client().await?;
        let stamps = Stamps::new(rig.dir(), "stamps");
        let row = |who: &str, age: &str| Row::new(format!("{who}, killed after {age}, median"), "ms");
        let mut rows = Rows {
            ours: [row("minijob minus its delay of 100 ms", "3 s"), row("minijob minus its delay of 100 ms", "0.2 s")],
            loops: Row::new("minijob: 100 crash loops, one start a second each: agent and keeper", "% of a core"),
        };
        let mut others = Others::new(bench, &stamps);
        for round in 0..bench.rounds {
            our_round(bench, &rig, &mut client, &stamps, &mut rows)
                .await
                .map_err(|error| format!("round {round}: {error}\n{}", rig.said()))?;
            others.round(bench, &stamps)?;
        }
        let mut table = Table::default();
        for row in rows.ours.into_iter().chain([rows.loops]) {
            table.push(row);
        }
        table.note("Limit probe: a loop that waits on a pidfd, reaps, and starts the same program with `posix_spawn`.");
        table.note("CPU per operation is per restart: agent, keeper and server for a kill, agent and keeper for a crash loop.");
        table.note("\"After 3 s\" is at least 3 s: killed in turn, the later ones have run longer.");
        others.finish(&mut table);
        Ok(table)
    })
}

async fn our_round(
    bench: &Bench,
    rig: &Rig,
    client: &mut Client,
    stamps: &Stamps,
    rows: &mut Rows,
) -> Result<(), String> {
    let kills = bench.size(KILLS);
    let limit = median(&probe::restart_ms(&bench.tools.stamp(), stamps, kills)?);
    let pids = rig.daemon_pids();
    for (age, row) in AGES.iter().zip(&mut rows.ours) {
        let tasks = if *age < Duration::from_secs(1) { YOUNG } else { kills };
        start(bench, rig, client, stamps, ("kill", tasks, "stay", DELAY)).await?;
        let tasks = stamps.take(tasks, SOON)?;
        let before = cpu_ns(&pids);
        let taken = kill_each(tasks, stamps, kills, *age)?;
        let cpu = cpu_ns(&pids).saturating_sub(before) as f64 / 1e6 / kills as f64;
        row.add_with(median(&taken) - DELAY.as_secs_f64() * 1e3, limit);
        row.cpu(cpu);
        purge_all(rig, client, &["kill".to_owned()]).await?;
    }
    start(bench, rig, client, stamps, ("loop", LOOPS, "exit", LOOP_DELAY)).await?;
    stamps.take(LOOPS, SOON)?;
    let mut supervisors = rig.keeper_pids();
    supervisors.push(rig.agent_pid());
    watch_loops(&supervisors, stamps, &mut rows.loops);
    purge_all(rig, client, &["loop".to_owned()]).await
}

async fn start(
    bench: &Bench,
    rig: &Rig,
    client: &mut Client,
    stamps: &Stamps,
    (name, count, mode, delay): (&str, usize, &str, Duration),
) -> Result<(), String> {
    stamps.drain();
    let command = bench.tools.stamp().to_string_lossy().into_owned();
    let job = service(name, count as u32, &command, &[&stamps.path(), mode], delay);
    client.put_job(rig.request(put(&job))).await.map(drop).map_err(|status| status.to_string())
}

/// Kills tasks in turn, each when it has run for `age`, and waits for each one's next attempt. Returns milliseconds.
pub(crate) fn kill_each(
    tasks: Vec<Stamp>,
    stamps: &Stamps,
    kills: usize,
    age: Duration,
) -> Result<Vec<f64>, String> {
    let mut tasks = std::collections::VecDeque::from(tasks);
    let mut taken = Vec::new();
    for _ in 0..kills {
        let task = tasks.pop_front().ok_or("there are no tasks")?;
        let ran = Duration::from_nanos(now_ns().saturating_sub(task.at_ns));
        std::thread::sleep(age.saturating_sub(ran));
        let killed = now_ns();
        tests::process::signal(task.pid, Signal::SIGKILL);
        let next = stamps.next(SOON)?;
        taken.push(next.at_ns.saturating_sub(killed) as f64 / 1e6);
        tasks.push_back(next);
    }
    Ok(taken)
}

/// Watches crash loops for a while: how much of a core the supervisors use, and how much CPU one start costs them.
pub(crate) fn watch_loops(supervisors: &[u32], stamps: &Stamps, row: &mut Row) {
    stamps.drain();
    let (begun, before) = (Instant::now(), cpu_ns(supervisors));
    std::thread::sleep(WATCHED);
    let cpu = cpu_ns(supervisors).saturating_sub(before) as f64;
    let starts = stamps.drain().len().max(1);
    row.add(cpu / begun.elapsed().as_nanos() as f64 * 100.0);
    row.cpu(cpu / 1e6 / starts as f64);
}
