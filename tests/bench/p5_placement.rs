//! P5, placement latency: 5,000 nodes at 60 % load, jobs of one allocation one after another on one connection, from the call to
//! the durable and readable placement.

use std::time::{Duration, Instant};

use proto::model::Resources;
use proto::wire::v1;
use tokio::runtime::Runtime;

use crate::agents::Fleet;
use crate::control::{placed, put, service, sized};
use crate::meter::cpu_ns;
use crate::report::{Row, Table, percentile};
use crate::rig::{Client, Rig};
use crate::world::{NODES, machine};
use crate::{Bench, probe};

/// Jobs of one round.
const JOBS: usize = 500;
/// Jobs of one round with a slow disk.
const JOBS_SLOW: usize = 100;
/// Allocations that fill one machine.
const PER_MACHINE: u64 = 10;
/// How many of them are there before.
const LOAD: usize = 6;
/// Allocations of one job of the load: the most that one group may have.
const PER_JOB: usize = 10_000;
/// What a slow disk adds to each sync.
const SLOW: Duration = Duration::from_millis(1);
/// Until the load is placed.
const LOADED_WITHIN: Duration = Duration::from_secs(120);

struct Rows {
    p50: Row,
    p99: Row,
    slow_p50: Row,
    slow_p99: Row,
}

/// Runs the benchmark.
pub(crate) fn run(bench: &Bench, runtime: &Runtime) -> Result<Table, String> {
    runtime.block_on(async {
        let nodes = bench.size(NODES);
        let rig = Rig::led(&bench.tools, 1).await?;
        let mut client = rig.client().await?;
        let begun = Instant::now();
        let fleet = Fleet::register(&rig.way(), nodes).await.map_err(|error| format!("{error}\n{}", rig.said()))?;
        println!("{nodes} agents registered in {:.1} s", begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        load(&rig, &mut client, nodes * LOAD).await?;
        println!("{} allocations placed in {:.1} s", nodes * LOAD, begun.elapsed().as_secs_f64());
        let mut rows = Rows {
            p50: Row::new("call to placement, p50", "ms"),
            p99: Row::new("call to placement, p99", "ms"),
            slow_p50: Row::new("1 ms added to each sync, p50", "ms"),
            slow_p99: Row::new("1 ms added to each sync, p99", "ms"),
        };
        for round in 0..bench.rounds {
            one_round(bench, &rig, &mut client, round, &mut rows)
                .await
                .map_err(|error| format!("round {round}: {error}\n{}", rig.said()))?;
        }
        let up = nodes_up(&rig, &mut client).await?;
        drop(fleet);
        let mut table = Table::default();
        for row in [rows.p50, rows.p99, rows.slow_p50, rows.slow_p99] {
            table.push(row);
        }
        table.note(format!("{nodes} simulated agents over real streams, 200 on a connection, one heartbeat a second each, in the process that also measures, on the same cores as the server; they report nothing. {up} were up at the end."));
        table.note("An answer that names no placement fails the benchmark. The jobs of the rounds stay: the load grows by one percent of the capacity a round.");
        table.note("Limit probe: one round trip over loopback, and a write and fdatasync of 512 bytes in between. CPU: the server, its share of the heartbeats included.");
        Ok(table)
    })
}

/// Takes a tenth of a machine.
pub(crate) fn tenth() -> Resources {
    let whole = machine(0).capacity;
    Resources { cpu_millis: whole.cpu_millis / PER_MACHINE, memory_bytes: whole.memory_bytes / PER_MACHINE }
}

/// Places what is there before, and waits until all of it has a place.
pub(crate) async fn load(rig: &Rig, client: &mut Client, allocs: usize) -> Result<(), String> {
    for number in 0..allocs.div_ceil(PER_JOB) {
        let (name, count) = (format!("load-{number}"), PER_JOB.min(allocs - number * PER_JOB));
        let job = service(&name, count as u32, "/bin/sleep", &["1000"], Duration::from_secs(1));
        let request = rig.request(put(&sized(job, tenth())));
        client.put_job(request).await.map_err(|status| status.to_string())?;
    }
    let begun = Instant::now();
    // A job of one allocation is looked at after all that were there before it.
    while probe_job(rig, client, "after-load").await? == 0 {
        if begun.elapsed() > LOADED_WITHIN {
            return Err("the load is not placed".into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn probe_job(rig: &Rig, client: &mut Client, name: &str) -> Result<u32, String> {
    let job = sized(service(name, 1, "/bin/sleep", &["1000"], Duration::from_secs(1)), tenth());
    let reply = client.put_job(rig.request(put(&job))).await.map_err(|status| status.to_string())?;
    Ok(placed(reply.get_ref()))
}

async fn one_round(
    bench: &Bench,
    rig: &Rig,
    client: &mut Client,
    round: usize,
    rows: &mut Rows,
) -> Result<(), String> {
    let fast = (bench.size(JOBS), Duration::ZERO, &mut rows.p50, &mut rows.p99);
    let slow = (bench.size(JOBS_SLOW), SLOW, &mut rows.slow_p50, &mut rows.slow_p99);
    for (count, extra, p50, p99) in [fast, slow] {
        let limit = probe::durable_ms(rig.dir(), count, extra)?;
        rig.slow_syncs_by(extra);
        let server = [rig.server_pid()];
        let before = cpu_ns(&server);
        let mut taken = Vec::new();
        for number in 0..count {
            let name = format!("one-{round}-{}-{number}", extra.as_millis());
            let begun = Instant::now();
            let placed = probe_job(rig, client, &name).await?;
            taken.push(begun.elapsed().as_secs_f64() * 1e3);
            if placed != 1 {
                return Err(format!("job {name} was answered without a placement"));
            }
        }
        rig.slow_syncs_by(Duration::ZERO);
        p50.cpu(cpu_ns(&server).saturating_sub(before) as f64 / 1e6 / count as f64);
        p50.add_with(percentile(&taken, 50), percentile(&limit, 50));
        p99.add_with(percentile(&taken, 99), percentile(&limit, 99));
    }
    Ok(())
}

async fn nodes_up(rig: &Rig, client: &mut Client) -> Result<usize, String> {
    let nodes = client.list_nodes(rig.request(v1::ListNodesRequest::default())).await;
    let nodes = nodes.map_err(|status| status.to_string())?.into_inner();
    let nodes: serde_json::Value = serde_json::from_slice(&nodes.json).map_err(|error| error.to_string())?;
    let items = nodes["items"].as_array();
    Ok(items.map_or(0, |items| items.iter().filter(|node| node["liveness"] == "up").count()))
}
