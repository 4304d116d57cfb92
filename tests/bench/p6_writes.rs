//! P6, writes: jobs of one allocation from 16 connections, and the cheapest write there is from 1, 16 and 256, on one server and on
//! three; etcd of Debian takes the same turns on the same disk.

use std::time::{Duration, Instant};

use proto::ids::random_request_id;
use proto::wire::v1;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::agents::Fleet;
use crate::control::{placed, put, service};
use crate::etcd::{self, Etcd};
use crate::meter::cpu_ns;
use crate::peers::version_of;
use crate::report::{Row, Table, percentile};
use crate::rig::{Client, Rig};
use crate::way::Way;
use crate::world::machine;
use crate::{Bench, probe};

/// Jobs of one round.
const JOBS: usize = 20_000;
/// Connections that submit them.
const JOB_CLIENTS: usize = 16;
/// Clients of plain writes, each with a connection of its own.
const CLIENTS: [usize; 3] = [1, 16, 256];
/// Servers of a cluster.
const SERVERS: [usize; 2] = [1, 3];
/// Machines; every client of plain writes has one for itself, in the state that it had at first.
const NODES: usize = 300;
/// How long plain writes are made.
const SPAN: Duration = Duration::from_secs(2);
/// Durable writes of the limit probe.
const PROBED: usize = 300;

struct Rows {
    servers: usize,
    jobs: Row,
    jobs_cpu: Row,
    plain: Vec<Plain>,
}

/// Plain writes of so many clients, ours and etcd's.
struct Plain {
    clients: usize,
    ours: Row,
    theirs: Row,
    cpu: Row,
}

impl Rows {
    fn of(servers: usize) -> Self {
        let on = if servers == 1 { "1 server".to_owned() } else { format!("{servers} servers") };
        let plain = |clients: usize| {
            let from = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
            Plain {
                clients,
                ours: Row::rate(format!("{on}, writes of {from}"), "/s"),
                theirs: Row::rate(format!("etcd, {on}, writes of {from}"), "/s"),
                cpu: Row::new(format!("{on}, {from}: CPU of all servers per write; limit: etcd's"), "us"),
            }
        };
        Self {
            servers,
            jobs: Row::rate(format!("{on}, jobs of {JOB_CLIENTS} connections"), "/s"),
            jobs_cpu: Row::new(format!("{on}, CPU of all servers per job"), "us"),
            plain: CLIENTS.into_iter().map(plain).collect(),
        }
    }
}

/// Runs the benchmark.
pub(crate) fn run(bench: &Bench, runtime: &Runtime) -> Result<Table, String> {
    runtime.block_on(async {
        let mut rows: Vec<Rows> = SERVERS.into_iter().map(Rows::of).collect();
        let missing = Etcd::start(&bench.tools, 1).await.err();
        for round in 0..bench.rounds {
            for rows in &mut rows {
                let done = one_round(bench, rows, missing.is_none()).await;
                done.map_err(|error| format!("round {round}, {} servers: {error}", rows.servers))?;
            }
        }
        let mut table = Table::default();
        for rows in rows {
            table.push(rows.jobs);
            table.push(rows.jobs_cpu);
            for plain in rows.plain {
                [plain.ours, plain.theirs, plain.cpu].into_iter().for_each(|row| table.push(row));
            }
        }
        match missing {
            None => table.note(format!("Peer: etcd {}.", version_of("etcd"))),
            Some(why) => table.note(format!("etcd is missing: {why}.")),
        }
        table.note(format!("A job is one of its own with one allocation, placed on one of {NODES} simulated machines, as the answer says: two writes and a decision. A write lets a machine take new work, or not, each client its own; of etcd it is a put of 256 bytes. Every client waits for its answer before it writes again."));
        table.note("All servers, their clients and the simulated agents share this machine's cores and its disk. Everything asks the server that leads. Servers and data are new in each round.");
        table.note("Our three servers speak TLS with each other and with their clients, etcd's with each other (`--peer-auto-tls`); a single server has none.");
        table.note("Limit probe: one round trip over loopback with a write and fdatasync of 512 bytes for all clients together. etcd makes its own system calls, so that no preloaded library can slow its syncs: there are no figures with 1 ms added.");
        Ok(table)
    })
}

async fn one_round(bench: &Bench, rows: &mut Rows, with_etcd: bool) -> Result<(), String> {
    let limit = |dir: &std::path::Path| -> Result<f64, String> {
        Ok(1e3 / percentile(&probe::durable_ms(dir, PROBED, Duration::ZERO)?, 50))
    };
    let rig = Rig::led(&bench.tools, rows.servers).await?;
    let _fleet = Fleet::register(&rig.way(), NODES).await?;
    let (mut taken, mut used) = (Vec::new(), 0);
    for plain in &rows.plain {
        let per_s = limit(rig.dir())? * plain.clients as f64;
        let way = rig.way();
        let writers = (0..plain.clients).map(|number| Writer::eligible(&way, used + number));
        let writers = futures::future::try_join_all(writers).await?;
        used += plain.clients;
        let done = measure(writers, Until::Over(bench.span(SPAN)), &rig.server_pids()).await?;
        taken.push((done, per_s));
    }
    let per_s = limit(rig.dir())? * JOB_CLIENTS as f64;
    let way = rig.way();
    let writers = (0..JOB_CLIENTS).map(|number| Writer::jobs(&way, number));
    let writers = futures::future::try_join_all(writers).await?;
    let until = Until::Made(bench.size(JOBS) / JOB_CLIENTS);
    let jobs = measure(writers, until, &rig.server_pids()).await;
    let jobs = jobs.map_err(|error| format!("{error}\n{}", rig.said()))?;
    rows.jobs.add_with(jobs.per_s, per_s);
    rows.jobs_cpu.add(jobs.cpu_us);
    drop(rig);
    let etcd = if with_etcd { Some(Etcd::start(&bench.tools, rows.servers).await?) } else { None };
    for (plain, (ours, per_s)) in rows.plain.iter_mut().zip(taken) {
        plain.ours.add_with(ours.per_s, per_s);
        let Some(etcd) = &etcd else {
            plain.cpu.add(ours.cpu_us);
            continue;
        };
        let writers = (0..plain.clients).map(|number| Writer::etcd(etcd, number));
        let writers = futures::future::try_join_all(writers).await?;
        let theirs = measure(writers, Until::Over(bench.span(SPAN)), &etcd.pids()).await?;
        plain.theirs.add_with(theirs.per_s, per_s);
        plain.cpu.add_with(ours.cpu_us, theirs.cpu_us);
    }
    Ok(())
}

/// When a client has written enough.
#[derive(Clone, Copy)]
enum Until {
    Over(Duration),
    Made(usize),
}

/// What writes cost.
#[derive(Clone, Copy)]
struct Done {
    per_s: f64,
    cpu_us: f64,
}

async fn measure(writers: Vec<Writer>, until: Until, pids: &[u32]) -> Result<Done, String> {
    let (before, begun) = (cpu_ns(pids), Instant::now());
    let mut clients = JoinSet::new();
    for mut writer in writers {
        clients.spawn(async move {
            let mut made = 0;
            while match until {
                Until::Over(span) => begun.elapsed() < span,
                Until::Made(all) => made < all,
            } {
                writer.write(made).await?;
                made += 1;
            }
            Ok::<_, String>(made)
        });
    }
    let mut made = 0;
    while let Some(done) = clients.join_next().await {
        made += done.map_err(|error| error.to_string())??;
    }
    let (took, cpu) = (begun.elapsed(), cpu_ns(pids).saturating_sub(before));
    Ok(Done { per_s: made as f64 / took.as_secs_f64(), cpu_us: cpu as f64 / 1e3 / made.max(1) as f64 })
}

/// One client with a connection of its own.
enum Writer {
    Eligible { client: Client, way: Way, node: String },
    Jobs { client: Client, way: Way, number: usize },
    Etcd { writer: etcd::Writer, number: usize },
}

impl Writer {
    async fn eligible(way: &Way, number: usize) -> Result<Self, String> {
        let (client, way) = (Client::new(way.connect().await?), way.clone());
        Ok(Self::Eligible { client, way, node: machine(number).name })
    }

    async fn jobs(way: &Way, number: usize) -> Result<Self, String> {
        let (client, way) = (Client::new(way.connect().await?), way.clone());
        Ok(Self::Jobs { client, way, number })
    }

    async fn etcd(etcd: &Etcd, number: usize) -> Result<Self, String> {
        Ok(Self::Etcd { writer: etcd.writer().await?, number })
    }

    /// Writes, and returns when that is committed.
    async fn write(&mut self, made: usize) -> Result<(), String> {
        match self {
            Self::Eligible { client, way, node } => {
                let request = v1::SetEligibilityRequest {
                    request_id: random_request_id().0.to_be_bytes().to_vec().into(),
                    node: node.clone(),
                    eligible: made % 2 == 1,
                };
                let reply = client.set_eligibility(way.request(request)).await;
                let reply = reply.map_err(|status| status.to_string())?.into_inner();
                if reply.changed { Ok(()) } else { Err(format!("a write to {node} changed nothing")) }
            }
            Self::Jobs { client, way, number } => {
                let name = format!("job-{number}-{made}");
                let job = service(&name, 1, "/bin/sleep", &["1000"], Duration::from_secs(1));
                let reply = client.put_job(way.request(put(&job))).await;
                let reply = reply.map_err(|status| status.to_string())?;
                if placed(reply.get_ref()) == 1 {
                    Ok(())
                } else {
                    Err(format!("job {name} was answered without a placement"))
                }
            }
            Self::Etcd { writer, number } => writer.put(format!("/registry/jobs/{number}/{made}")).await,
        }
    }
}
