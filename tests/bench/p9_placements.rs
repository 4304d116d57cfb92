//! P9, placements end to end: one server with its log on a disk, 5,000 simulated agents on real streams, 20 jobs of 1,000 allocations
//! each: from the first call to the last allocation that is committed and can be read. With `--large` also 1,000 jobs of 1,000.

use std::time::{Duration, Instant};

use proto::model::Resources;
use proto::wire::v1;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::agents::Fleet;
use crate::control::{placed, put, service, sized, wait_until_led};
use crate::meter::{cpu_ns, memory};
use crate::report::{Row, Table};
use crate::rig::{Client, Rig};
use crate::world::NODES;
use crate::{Bench, tournament};

/// Jobs of one round.
const JOBS: usize = 20;
/// Jobs of the large round.
const JOBS_LARGE: usize = 1000;
/// Allocations of one job.
const COUNT: u32 = 1000;
/// How long the server is watched before a round, for what its heartbeats cost, and after it, until all agents are told.
const WATCHED: Duration = Duration::from_secs(1);
/// Until all of a round is placed.
const PLACED_WITHIN: Duration = Duration::from_secs(300);

struct Rows {
    rate: Row,
    answered: Row,
    cpu: Row,
    rss: Row,
}

impl Rows {
    fn of(what: &str) -> Self {
        Self {
            rate: Row::rate(format!("{what}, first call to last readable"), "/s"),
            answered: Row::new(format!("{what}, slowest answer"), "ms"),
            cpu: Row::new(format!("{what}, CPU of the server per allocation"), "us"),
            rss: Row::new(format!("{what}, RSS of the server per allocation"), "B"),
        }
    }

    fn push_to(self, table: &mut Table) {
        for row in [self.rate, self.answered, self.cpu, self.rss] {
            table.push(row);
        }
    }
}

/// Runs the benchmark.
pub(crate) fn run(bench: &Bench, runtime: &Runtime) -> Result<Table, String> {
    runtime.block_on(async {
        let nodes = bench.size(NODES);
        let mut rig = Rig::new(&bench.tools);
        rig.start_server();
        let mut client = rig.client().await?;
        wait_until_led(&rig, &client).await?;
        let begun = Instant::now();
        let fleet = Fleet::register(&rig.way(), nodes).await.map_err(|error| format!("{error}\n{}", rig.said()))?;
        println!("{nodes} agents registered in {:.1} s", begun.elapsed().as_secs_f64());
        let mut rows = Rows::of("20 jobs x 1,000");
        for round in 0..bench.rounds {
            let jobs = bench.size(JOBS);
            one_round(&rig, &mut client, &format!("r{round}"), nodes, jobs, &mut rows)
                .await
                .map_err(|error| format!("round {round}: {error}\n{}", rig.said()))?;
        }
        let mut table = Table::default();
        rows.push_to(&mut table);
        if bench.large {
            let mut rows = Rows::of("1,000 jobs x 1,000");
            let jobs = bench.size(JOBS_LARGE);
            one_round(&rig, &mut client, "large", nodes, jobs, &mut rows)
                .await
                .map_err(|error| format!("large: {error}\n{}", rig.said()))?;
            rows.push_to(&mut table);
        }
        drop(fleet);
        table.note(format!("{nodes} simulated agents as in P5, which are told of every allocation and report nothing, on the same cores as the server. All calls at once on one connection; what a round placed stays."));
        table.note("Readable: an answer names the places of its job from the state that readers have. CPU: until a second after the last answer, when the agents have been told, less what the heartbeats took in the second before the round. RSS: what the server has more then than before, freed memory that it keeps included.");
        table.note("Limit probe: the tournament tree of P10, in memory.");
        Ok(table)
    })
}

async fn one_round(
    rig: &Rig,
    client: &mut Client,
    prefix: &str,
    nodes: usize,
    jobs: usize,
    rows: &mut Rows,
) -> Result<(), String> {
    let allocs = jobs * COUNT as usize;
    let limit = tournament::per_second(nodes, allocs);
    let server = [rig.server_pid()];
    let size = Resources { cpu_millis: 10, memory_bytes: 16 << 20 };
    let requests: Vec<_> = (0..jobs)
        .map(|number| {
            let job =
                service(&format!("{prefix}-{number}"), COUNT, "/bin/sleep", &["1"], Duration::from_secs(1));
            put(&sized(job, size))
        })
        .collect();
    let idle = cpu_ns(&server);
    tokio::time::sleep(WATCHED).await;
    let (cpu, rss) = (cpu_ns(&server), memory(&server).rss);
    let idle_per_s = cpu.saturating_sub(idle) as f64 / WATCHED.as_secs_f64();
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    for request in requests {
        let (mut client, request) = (client.clone(), rig.request(request));
        calls.spawn(async move { client.put_job(request).await.map(|reply| placed(reply.get_ref())) });
    }
    let mut answered = 0;
    while let Some(answer) = calls.join_next().await {
        let answer = answer.map_err(|error| error.to_string())?;
        answered += answer.map_err(|status| status.to_string())? as usize;
    }
    let slowest = begun.elapsed();
    // An answer that is given before everything has its place says so: then it is asked for.
    if answered < allocs {
        println!("answers named {answered} of {allocs} places");
        for number in 0..jobs {
            wait_until_placed(rig, client, &format!("{prefix}-{number}"), begun).await?;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    rows.rate.add_with(allocs as f64 / took, limit);
    rows.answered.add(slowest.as_secs_f64() * 1e3);
    tokio::time::sleep(WATCHED).await;
    let heartbeats = idle_per_s * begun.elapsed().as_secs_f64();
    rows.cpu.add((cpu_ns(&server).saturating_sub(cpu) as f64 - heartbeats).max(0.0) / 1e3 / allocs as f64);
    rows.rss.add(memory(&server).rss.saturating_sub(rss) as f64 / allocs as f64);
    Ok(())
}

async fn wait_until_placed(rig: &Rig, client: &mut Client, name: &str, begun: Instant) -> Result<(), String> {
    let ask = v1::JobStatusRequest { namespace: "default".into(), name: name.to_owned(), wait: None };
    loop {
        let status =
            client.job_status(rig.request(ask.clone())).await.map_err(|status| status.to_string())?;
        let status: serde_json::Value =
            serde_json::from_slice(&status.into_inner().json).map_err(|error| error.to_string())?;
        let there = status["allocs"].as_array().map_or(0, Vec::len);
        if there >= COUNT as usize {
            return Ok(());
        }
        if begun.elapsed() > PLACED_WITHIN {
            return Err(format!("{there} of {COUNT} of {name} are placed"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
