//! P9, placements end to end: one server with its log on a disk, then three, 5,000 simulated agents on real streams, 20 jobs of 1,000
//! allocations each: from the first call to the last allocation that is committed and can be read. With `--large` also 1,000 jobs of 1,000.
//! Then a tenth of the agents of the three servers falls silent at once.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proto::model::Resources;
use proto::wire::v1;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::agents::{Fleet, Order};
use crate::control::{placed, put, service, sized};
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

/// Until all runs again that was lost.
const AGAIN_WITHIN: Duration = Duration::from_secs(120);
/// Those that are lost have this last digit.
const LOST: usize = 3;

struct Rows {
    rate: Row,
    answered: Row,
    cpu: Row,
    cpu_others: Row,
    rss: Row,
    entries: Row,
    bytes: Row,
}

impl Rows {
    fn of(what: &str) -> Self {
        Self {
            rate: Row::rate(format!("{what}, first call to last readable"), "/s"),
            answered: Row::new(format!("{what}, slowest answer"), "ms"),
            cpu: Row::new(format!("{what}, CPU of the server that leads per allocation"), "us"),
            cpu_others: Row::new(format!("{what}, CPU of both others per allocation"), "us"),
            rss: Row::new(format!("{what}, RSS of the server that leads per allocation"), "B"),
            entries: Row::new(format!("{what}, entries in Raft"), ""),
            bytes: Row::new(format!("{what}, bytes in Raft per allocation"), "B"),
        }
    }

    fn push_to(self, table: &mut Table) {
        let Self { rate, answered, cpu, cpu_others, rss, entries, bytes } = self;
        for row in [rate, answered, cpu, cpu_others, rss, entries, bytes] {
            table.push(row);
        }
    }
}

/// Runs the benchmark.
pub(crate) fn run(bench: &Bench, runtime: &Runtime) -> Result<Table, String> {
    runtime.block_on(async {
        let mut table = Table::default();
        let nodes = bench.size(NODES);
        for servers in [1, 3] {
            let rig = Rig::led(&bench.tools, servers).await?;
            let done = on(bench, &rig, nodes, &mut table).await;
            done.map_err(|error| format!("{servers} servers: {error}\n{}", rig.said()))?;
        }
        table.note(format!("{nodes} simulated agents as in P5, which are told of every allocation and report nothing until all rounds are over, on the same cores as the servers. All calls at once on one connection; what a round placed stays. With three servers every agent has a certificate and a connection of its own."));
        table.note("Readable: an answer names the places of its job from the state that readers have. CPU: until a second after the last answer, when the agents have been told, less what the heartbeats took in the second before the round. RSS: what the server has more then than before, freed memory that it keeps included.");
        table.note("Entries and bytes: the log of the server that leads, from the first call until a second after the last answer.");
        table.note("A tenth lost: every agent whose number ends alike falls silent, no connection is closed. Everything runs again when agents that are left have reported as many allocations as ran before, and a majority has kept that. The time until a silent node is taken for lost, 4 s, is in it.");
        table.note("Limit probe: the tournament tree of P10, in memory.");
        Ok(table)
    })
}

/// Measures one cluster.
async fn on(bench: &Bench, rig: &Rig, nodes: usize, table: &mut Table) -> Result<(), String> {
    let mut client = rig.client().await?;
    let begun = Instant::now();
    let fleet = Fleet::register(&rig.way(), nodes).await?;
    println!("{nodes} agents registered in {:.1} s", begun.elapsed().as_secs_f64());
    let (several, jobs) = (rig.server_pids().len() > 1, bench.size(JOBS));
    let where_ = if several { "3 servers, " } else { "" };
    let mut rows = Rows::of(&format!("{where_}20 jobs x 1,000"));
    for round in 0..bench.rounds {
        let done = one_round(rig, &mut client, &format!("r{round}"), nodes, jobs, &mut rows).await;
        done.map_err(|error| format!("round {round}: {error}"))?;
    }
    rows.push_to(table);
    if bench.large && !several {
        let mut rows = Rows::of("1,000 jobs x 1,000");
        let jobs = bench.size(JOBS_LARGE);
        one_round(rig, &mut client, "large", nodes, jobs, &mut rows).await?;
        rows.push_to(table);
    }
    if !several {
        return Ok(());
    }
    for (number, pid) in rig.server_pids().into_iter().enumerate() {
        let which = if number == 0 { "that leads" } else { "that follows" };
        let mut row = Row::new(format!("3 servers, then: RSS of one {which}"), "MB");
        row.add(memory(&[pid]).rss as f64 / 1e6);
        table.push(row);
    }
    lose(&fleet, bench.rounds * jobs * COUNT as usize, table).await
}

/// Lets a tenth of the agents fall silent, and waits until everything runs again.
async fn lose(fleet: &Fleet, allocs: usize, table: &mut Table) -> Result<(), String> {
    let (running, allocs) = (|| fleet.tally().running.load(Ordering::Relaxed), allocs as u64);
    fleet.order(Order::Report { apart: false });
    fleet.until(|tally| &tally.running, allocs, AGAIN_WITHIN).await?;
    tokio::time::sleep(WATCHED).await;
    let begun = Instant::now();
    fleet.order(Order::Lose { digit: LOST });
    // They are many, and hear of it one after another.
    tokio::time::sleep(WATCHED / 4).await;
    let lost = allocs.saturating_sub(running());
    fleet.until(|tally| &tally.running, allocs, AGAIN_WITHIN).await?;
    let mut again =
        Row::new("3 servers, a tenth of the agents lost at once: until everything runs again", "s");
    again.add(begun.elapsed().as_secs_f64());
    table.push(again);
    table.note(format!("{lost} of {allocs} allocations were lost with the agents, and replaced."));
    match fleet.tally().ended.load(Ordering::Relaxed) {
        0 => Ok(()),
        ended => Err(format!("{ended} sessions of agents that are left were ended")),
    }
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
    let servers = rig.server_pids();
    let (server, others) = (&servers[..1], &servers[1..]);
    let size = Resources { cpu_millis: 10, memory_bytes: 16 << 20 };
    let requests: Vec<_> = (0..jobs)
        .map(|number| {
            let job =
                service(&format!("{prefix}-{number}"), COUNT, "/bin/sleep", &["1"], Duration::from_secs(1));
            put(&sized(job, size))
        })
        .collect();
    let log = Log::of(rig)?;
    let idle = (cpu_ns(server), cpu_ns(others));
    tokio::time::sleep(WATCHED).await;
    let (cpu, cpu_others, rss) = (cpu_ns(server), cpu_ns(others), memory(server).rss);
    let per_s = |idle: u64, cpu: u64| cpu.saturating_sub(idle) as f64 / WATCHED.as_secs_f64();
    let (idle, idle_others) = (per_s(idle.0, cpu), per_s(idle.1, cpu_others));
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
    let took = begun.elapsed().as_secs_f64();
    let per_alloc = |now: u64, before: u64, idle: f64| {
        (now.saturating_sub(before) as f64 - idle * took).max(0.0) / 1e3 / allocs as f64
    };
    rows.cpu.add(per_alloc(cpu_ns(server), cpu, idle));
    if !others.is_empty() {
        rows.cpu_others.add(per_alloc(cpu_ns(others), cpu_others, idle_others));
    }
    rows.rss.add(memory(server).rss.saturating_sub(rss) as f64 / allocs as f64);
    let now = Log::of(rig)?;
    rows.entries.add(now.entries - log.entries);
    // A snapshot in this round has let the log become shorter.
    if now.bytes > log.bytes {
        rows.bytes.add((now.bytes - log.bytes) / allocs as f64);
    }
    Ok(())
}

/// The log of the server that leads.
struct Log {
    entries: f64,
    bytes: f64,
}

impl Log {
    fn of(rig: &Rig) -> Result<Self, String> {
        let number = |name: &str| rig.metric(name).ok_or_else(|| format!("the server does not tell {name}"));
        Ok(Self {
            entries: number("minijob_server_raft_last_log_index")?,
            bytes: number("minijob_server_raft_log_bytes")?,
        })
    }
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
