//! P13, an idle fleet: 10,000 agents with 10 allocations each that do nothing but renew their leases, for a minute.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::agents::{Fleet, Manner};
use crate::meter::{cpu_ns, memory};
use crate::p5_placement::load;
use crate::report::{Row, Table};
use crate::rig::Rig;
use crate::{Bench, probe};

/// Machines.
const NODES: usize = 10_000;
/// Allocations that fill one machine.
const PER_NODE: usize = 10;
/// How long a round looks.
const WATCHED: Duration = Duration::from_secs(60);
/// Until what was done before is over: reports, and what follows from them.
const SETTLED: Duration = Duration::from_secs(15);
/// Until everything runs.
const WITHIN: Duration = Duration::from_secs(120);
/// Messages of the limit probe.
const PROBED: usize = 20_000;

struct Rows {
    cpu: Row,
    cores: Row,
    rss: Row,
    sent: Row,
    received: Row,
}

/// Runs the benchmark.
pub(crate) fn run(bench: &Bench, runtime: &Runtime) -> Result<Table, String> {
    runtime.block_on(async {
        let (nodes, watched) = (bench.size(NODES), bench.span(WATCHED));
        let rig = Rig::led(&bench.tools, 1).await?;
        let way = rig.way();
        let begun = Instant::now();
        let fleet = Fleet::register_as(&way, nodes, Manner { reports: true, apart: true }).await;
        let fleet = fleet.map_err(|error| format!("{error}\n{}", rig.said()))?;
        println!("{nodes} agents registered in {:.1} s", begun.elapsed().as_secs_f64());
        load(&rig, &mut rig.client().await?, nodes * PER_NODE - 1).await?;
        fleet.until(|tally| &tally.running, (nodes * PER_NODE) as u64 - 1, WITHIN).await?;
        tokio::time::sleep(bench.span(SETTLED)).await;
        let mut rows = Rows {
            cpu: Row::new("CPU of the server per heartbeat", "us"),
            cores: Row::new("CPU of the server, one heartbeat a second each", "cores"),
            rss: Row::new("RSS of the server", "MB"),
            sent: Row::new("bytes of a heartbeat", "B"),
            received: Row::new("bytes of its answer", "B"),
        };
        let server = [rig.server_pid()];
        for _ in 0..bench.rounds {
            let limit = probe::echo_us(PROBED)?;
            let beats = || fleet.tally().beats.load(Ordering::Relaxed);
            let (cpu, passed, before, begun) = (cpu_ns(&server), way.passed.bytes(), beats(), Instant::now());
            tokio::time::sleep(watched).await;
            let cpu_us = cpu_ns(&server).saturating_sub(cpu) as f64 / 1e3;
            let (now, beats) = (way.passed.bytes(), (beats() - before).max(1) as f64);
            rows.cpu.add_with(cpu_us / beats, limit);
            rows.cores.add(cpu_us / 1e6 / begun.elapsed().as_secs_f64());
            rows.rss.add(memory(&server).rss as f64 / 1e6);
            rows.sent.add((now.0 - passed.0) as f64 / beats);
            rows.received.add((now.1 - passed.1) as f64 / beats);
            println!("{:.0} heartbeats a second", beats / begun.elapsed().as_secs_f64());
        }
        let ended = fleet.tally().ended.load(Ordering::Relaxed);
        drop(fleet);
        let mut table = Table::default();
        for row in [rows.cpu, rows.cores, rows.rss, rows.sent, rows.received] {
            table.push(row);
        }
        table.note(format!("{nodes} simulated agents with a connection each, without TLS, in the process that also measures, on the same cores as the server; {} allocations, all running. {ended} sessions were ended meanwhile.", nodes * PER_NODE));
        table.note(format!("A round is {} s. Bytes are those of gRPC and HTTP/2 together, without TCP; the answer renews the lease. CPU is all that the server does meanwhile.", watched.as_secs()));
        table.note("Limit probe: the CPU of one thread that reads 64 bytes from a connection of loopback and sends them back.");
        Ok(table)
    })
}
