//! P12, what agents report: 2,000 of them with 20 allocations each, all of which begin to run at once; then 10 % of them fail every second
//! and run again a second later.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proto::model::Resources;
use tokio::runtime::Runtime;

use crate::agents::{Fleet, Manner, Order, Tally};
use crate::control::{put, service, sized};
use crate::meter::cpu_ns;
use crate::report::{Row, Table};
use crate::rig::Rig;
use crate::world::machine;
use crate::{Bench, probe};

/// Machines.
const NODES: usize = 2000;
/// Allocations that fill one machine.
const PER_NODE: usize = 20;
/// Allocations of one job.
const PER_JOB: usize = 1000;
/// Seconds of churn.
const CHURN: usize = 10;
/// How long the server is watched before, for what its heartbeats cost.
const WATCHED: Duration = Duration::from_secs(2);
/// Until all of something is told or acknowledged.
const WITHIN: Duration = Duration::from_secs(60);
/// Bytes of one report, and of one entry of the log: of the limit probe.
const REPORT_BYTES: usize = 64;
const ENTRY_BYTES: usize = 256 << 10;

struct Rows {
    together: Row,
    together_cpu: Row,
    apart: Row,
    apart_cpu: Row,
    churn_cpu: Row,
    churn_late: Row,
}

/// Runs the benchmark.
pub(crate) fn run(bench: &Bench, runtime: &Runtime) -> Result<Table, String> {
    runtime.block_on(async {
        let mut rows = Rows {
            together: Row::rate("all begin to run, first report to last acknowledgement", "/s"),
            together_cpu: Row::new("all begin to run, CPU of the server per report", "us"),
            apart: Row::rate("all run anew, each in a message of its own", "/s"),
            apart_cpu: Row::new("all run anew, each in a message of its own, CPU of the server per report", "us"),
            churn_cpu: Row::new("10 % fail and run again every second: CPU of the server per report", "us"),
            churn_late: Row::new("10 % fail and run again every second: slowest second until all is acknowledged", "ms"),
        };
        for round in 0..bench.rounds {
            one_round(bench, &mut rows).await.map_err(|error| format!("round {round}: {error}"))?;
        }
        let mut table = Table::default();
        let Rows { together, together_cpu, apart, apart_cpu, churn_cpu, churn_late } = rows;
        for row in [together, together_cpu, apart, apart_cpu, churn_cpu, churn_late] {
            table.push(row);
        }
        let nodes = bench.size(NODES);
        table.note(format!("{nodes} simulated agents with a connection each and {PER_NODE} allocations each; server, agents and data are new in each round, on the same cores. At first an agent reports all of its allocations in one message, as one does that gathers for 20 ms."));
        table.note("Acknowledged: on disk, applied, and what readers see. A failure is one report with how it ended and its output, the run after it another. CPU: less what the heartbeats took in the two seconds before.");
        table.note("Limit probe: 64 bytes for each report over one connection of loopback, written and synced in blocks of 256 KiB.");
        Ok(table)
    })
}

async fn one_round(bench: &Bench, rows: &mut Rows) -> Result<(), String> {
    let rig = Rig::led(&bench.tools, 1).await?;
    let nodes = bench.size(NODES);
    let fleet = Fleet::register_as(&rig.way(), nodes, Manner { reports: false, apart: true }).await?;
    let allocs = (nodes * PER_NODE) as u64;
    fill(&rig, nodes * PER_NODE).await?;
    fleet.until(|tally| &tally.told, allocs, WITHIN).await?;
    let limit = probe::kept_ms(rig.dir(), allocs as usize * REPORT_BYTES, ENTRY_BYTES)?;
    let limit = allocs as f64 / limit * 1e3;
    let server = [rig.server_pid()];
    let idle = cpu_ns(&server);
    tokio::time::sleep(WATCHED).await;
    let idle_per_s = cpu_ns(&server).saturating_sub(idle) as f64 / WATCHED.as_secs_f64();
    for (apart, rate, cost) in
        [(false, &mut rows.together, &mut rows.together_cpu), (true, &mut rows.apart, &mut rows.apart_cpu)]
    {
        let (cpu, begun) = (cpu_ns(&server), Instant::now());
        let due = acknowledged(&fleet) + allocs;
        fleet.order(Order::Report { apart });
        fleet.until(|tally| &tally.acknowledged, due, WITHIN).await?;
        let took = begun.elapsed().as_secs_f64();
        rate.add_with(allocs as f64 / took, limit);
        let cpu = cpu_ns(&server).saturating_sub(cpu) as f64 - idle_per_s * took;
        cost.add(cpu.max(0.0) / 1e3 / allocs as f64);
    }
    churn(&fleet, &server, idle_per_s, rows).await.map_err(|error| format!("{error}\n{}", rig.said()))?;
    match fleet.tally().ended.load(Ordering::Relaxed) {
        0 => Ok(()),
        ended => Err(format!("{ended} sessions were ended\n{}", rig.said())),
    }
}

/// Places exactly what fits.
async fn fill(rig: &Rig, allocs: usize) -> Result<(), String> {
    let whole = machine(0).capacity;
    let part = PER_NODE as u64;
    let size = Resources { cpu_millis: whole.cpu_millis / part, memory_bytes: whole.memory_bytes / part };
    let mut client = rig.client().await?;
    for number in 0..allocs.div_ceil(PER_JOB) {
        let count = PER_JOB.min(allocs - number * PER_JOB) as u32;
        let job = service(&format!("job-{number}"), count, "/bin/sleep", &["1"], Duration::from_secs(1));
        client.put_job(rig.request(put(&sized(job, size)))).await.map_err(|status| status.to_string())?;
    }
    Ok(())
}

/// Lets a tenth fail every second, and run again in the next.
async fn churn(fleet: &Fleet, server: &[u32], idle_per_s: f64, rows: &mut Rows) -> Result<(), String> {
    let (cpu, begun, before) = (cpu_ns(server), Instant::now(), acknowledged(fleet));
    let (mut ticks, mut slowest) = (tokio::time::interval(Duration::from_secs(1)), Duration::ZERO);
    let ids = fleet.tally().told.load(Ordering::Relaxed);
    for second in 0..CHURN {
        ticks.tick().await;
        fleet.order(Order::Churn { digit: second as u64 % 10 });
        // Ids are given one after another, so that every digit has a tenth, or one more or less.
        let least = before + ids * (2 * second as u64 + 2) / 10 - 2 * (second as u64 + 1);
        slowest = slowest.max(fleet.until(|tally: &Tally| &tally.acknowledged, least, WITHIN).await?);
    }
    ticks.tick().await;
    let (reports, took) = (acknowledged(fleet) - before, begun.elapsed().as_secs_f64());
    let cpu = cpu_ns(server).saturating_sub(cpu) as f64 - idle_per_s * took;
    rows.churn_cpu.add(cpu.max(0.0) / 1e3 / reports as f64);
    rows.churn_late.add(slowest.as_secs_f64() * 1e3);
    Ok(())
}

fn acknowledged(fleet: &Fleet) -> u64 {
    fleet.tally().acknowledged.load(Ordering::Relaxed)
}
