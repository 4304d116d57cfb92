//! P1, the start path: from the moment a client sends a job to the first instruction of its process.

use std::time::Duration;

use tokio::runtime::Runtime;

use crate::Bench;
use crate::control::{purge_all, put, service};
use crate::meter::{cpu_ns, now_ns};
use crate::p1_peers::Others;
use crate::probe;
use crate::report::{Row, Table, median, percentile};
use crate::rig::{Client, Rig};
use crate::stamps::Stamps;

/// Jobs started one after another in one round.
const SINGLES: usize = 30;
/// Jobs started before anything is measured.
const WARM_UP: usize = 5;
/// Jobs started through the command line in one round.
const BY_COMMAND: usize = 6;
/// Sizes of groups started at once.
const GROUPS: [usize; 3] = [50, 100, 1000];
/// What a slow disk adds to each sync.
const SLOW: Duration = Duration::from_millis(1);
/// Until a started task must have begun.
const SOON: Duration = Duration::from_secs(60);

struct Rows {
    single: Row,
    single_p99: Row,
    slow: Row,
    command: Row,
    groups: Vec<(usize, Row, Row)>,
}

/// Runs the benchmark.
pub(crate) fn run(bench: &Bench, runtime: &Runtime) -> Result<Table, String> {
    runtime.block_on(async {
        let rig = Rig::started(&bench.tools).await?;
        let mut client = rig.client().await?;
        let stamps = Stamps::new(rig.dir(), "stamps");
        let mut rows = Rows {
            single: Row::new("one job, median", "ms"),
            single_p99: Row::new("one job, slowest", "ms"),
            slow: Row::new("one job, 1 ms added to each sync, median", "ms"),
            command: Row::new("one job through `minijob run --detach`, median", "ms"),
            groups: GROUPS
                .iter()
                .map(|count| bench.size(*count))
                .map(|count| {
                    let whole = Row::new(format!("group of {count}, call to last start"), "ms");
                    (count, whole, Row::rate(format!("group of {count}, starts"), "/s"))
                })
                .collect(),
        };
        let mut others = Others::new(bench, &stamps);
        // The first starts of a new cluster make directories and open files that the later ones find.
        start_singles(bench, &rig, &mut client, &stamps, WARM_UP).await?;
        for round in 0..bench.rounds {
            one_round(bench, &rig, &mut client, &stamps, &mut rows)
                .await
                .map_err(|error| format!("round {round}: {error}\n{}", rig.said()))?;
            others.round(bench, &stamps)?;
        }
        let mut table = Table::default();
        for row in [rows.single, rows.single_p99, rows.slow, rows.command] {
            table.push(row);
        }
        for (_, whole, rate) in rows.groups {
            table.push(whole);
            table.push(rate);
        }
        table.note("One server and one agent on this machine; the task is a static C program whose first act is to read the clock.");
        table.note("Limit probe: `posix_spawn` of the same program, one after another, nothing else done. CPU: server, agent and keeper.");
        others.finish(&mut table);
        Ok(table)
    })
}

async fn one_round(
    bench: &Bench,
    rig: &Rig,
    client: &mut Client,
    stamps: &Stamps,
    rows: &mut Rows,
) -> Result<(), String> {
    let stamp = bench.tools.stamp();
    let limits: Result<Vec<f64>, String> = (0..SINGLES).map(|_| probe::spawn_ms(&stamp, stamps, 1)).collect();
    let limits = limits?;
    let singles = bench.size(SINGLES);
    let (taken, cpu) = start_singles(bench, rig, client, stamps, singles).await?;
    rows.single.add_with(median(&taken), median(&limits));
    rows.single.cpu(cpu);
    rows.single_p99.add_with(percentile(&taken, 100), percentile(&limits, 100));
    rig.slow_syncs_by(SLOW);
    let slow = start_singles(bench, rig, client, stamps, singles).await;
    rig.slow_syncs_by(Duration::ZERO);
    let (slow, cpu) = slow?;
    rows.slow.add(median(&slow));
    rows.slow.cpu(cpu);
    rows.command.add(median(&start_by_command(bench, rig, client, stamps).await?));
    for (count, whole, rate) in &mut rows.groups {
        let limit = probe::spawn_ms(&stamp, stamps, *count)?;
        let (taken, cpu) = start_group(bench, rig, client, stamps, *count).await?;
        let per_second = |ms: f64| *count as f64 / ms * 1e3;
        whole.add_with(taken, limit);
        whole.cpu(cpu);
        rate.add_with(per_second(taken), per_second(limit));
    }
    Ok(())
}

/// Submits jobs one after another, each when the one before has begun; returns each one's milliseconds, and the CPU of one.
async fn start_singles(
    bench: &Bench,
    rig: &Rig,
    client: &mut Client,
    stamps: &Stamps,
    count: usize,
) -> Result<(Vec<f64>, f64), String> {
    let (pids, command) = (rig.daemon_pids(), bench.tools.stamp().to_string_lossy().into_owned());
    let names: Vec<String> = (0..count).map(|number| format!("single-{number}")).collect();
    stamps.drain();
    let before = cpu_ns(&pids);
    let mut taken = Vec::new();
    for name in &names {
        let job = service(name, 1, &command, &[&stamps.path()], Duration::from_secs(1));
        let request = rig.request(put(&job));
        let begun = now_ns();
        client.put_job(request).await.map_err(|status| status.to_string())?;
        taken.push(stamps.next(SOON)?.at_ns.saturating_sub(begun) as f64 / 1e6);
    }
    let cpu = cpu_ns(&pids).saturating_sub(before) as f64 / 1e6 / count as f64;
    purge_all(rig, client, &names).await?;
    Ok((taken, cpu))
}

async fn start_by_command(
    bench: &Bench,
    rig: &Rig,
    client: &mut Client,
    stamps: &Stamps,
) -> Result<Vec<f64>, String> {
    let mut taken = Vec::new();
    let mut names = Vec::new();
    stamps.drain();
    for number in 0..BY_COMMAND {
        let name = format!("typed-{number}");
        let path = rig.dir().join(format!("{name}.yml"));
        let text = format!(
            "name: {name}\ncommand: {}\nargs: [{}]\nresources: {{cpu: 1m, memory: 1MiB}}\n",
            bench.tools.stamp().display(),
            stamps.path()
        );
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        let command = rig.command(&["run", "--detach", &path.to_string_lossy()]);
        let begun = now_ns();
        probe::run_ms(command)?;
        taken.push(stamps.next(SOON)?.at_ns.saturating_sub(begun) as f64 / 1e6);
        names.push(name);
    }
    purge_all(rig, client, &names).await?;
    Ok(taken)
}

/// Submits one group; returns the milliseconds until its last task began, and the CPU of one task.
async fn start_group(
    bench: &Bench,
    rig: &Rig,
    client: &mut Client,
    stamps: &Stamps,
    count: usize,
) -> Result<(f64, f64), String> {
    let (pids, command) = (rig.daemon_pids(), bench.tools.stamp().to_string_lossy().into_owned());
    let name = format!("group-{count}");
    let job = service(&name, count as u32, &command, &[&stamps.path()], Duration::from_secs(1));
    stamps.drain();
    let before = cpu_ns(&pids);
    let request = rig.request(put(&job));
    let begun = now_ns();
    client.put_job(request).await.map_err(|status| status.to_string())?;
    let last = stamps.take(count, SOON)?.iter().map(|stamp| stamp.at_ns).max().unwrap_or(begun);
    let cpu = cpu_ns(&pids).saturating_sub(before) as f64 / 1e6 / count as f64;
    purge_all(rig, client, &[name]).await?;
    Ok((last.saturating_sub(begun) as f64 / 1e6, cpu))
}
