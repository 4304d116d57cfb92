//! The data directory of a server with a large state, made in this process with the server's own functions: real commands
//! through its log, then a snapshot.

use std::path::Path;
use std::time::Duration;

use proto::ids::{AllocId, Generation, Incarnation, NodeId, Reign, RequestId, random_request_id};
use proto::model::{AllocState, AllocStatus, Job, NodeIdentity, Resources, TaskPhase, TaskStatus};
use server::cluster::Cluster;
use server::core::state::{Kind, Outcome, PlaceReason, Plan, PlanItem, PlanRun, Settings};
use server::identity::Identity;
use server::raft;

use crate::control::service;

/// Machines of the fleet.
pub(crate) const NODES: usize = 5000;
/// Allocations of one job: the most that one group may have.
pub(crate) const PER_JOB: usize = 10_000;
/// Until the only server leads.
const LED_WITHIN: Duration = Duration::from_secs(20);
/// No lease ends while a benchmark looks.
const LEASE: Duration = Duration::from_secs(24 * 3600);
/// Proposals under way at the same time.
const AT_ONCE: usize = 256;
/// Allocations in one report of health: far below the largest command.
const HEALTHY_AT_ONCE: usize = 10_000;

/// The machine with that number: 64 cores, 256 GiB.
pub(crate) fn machine(number: usize) -> NodeIdentity {
    tests::kernel::machine(number, Resources { cpu_millis: 64_000, memory_bytes: 256 << 30 })
}

/// The name of the job with that number.
pub(crate) fn job_name(number: usize) -> String {
    format!("job-{number:04}")
}

/// Makes a server's data directory whose state has [`NODES`] machines and `allocs` running, healthy allocations.
///
/// # Errors
/// What the server says.
pub(crate) async fn build(dir: &Path, allocs: usize) -> Result<(), String> {
    let identity = Identity::open(dir).map_err(|error| error.to_string())?;
    let log = raft::Config::new(dir, identity.member.server.0, "127.0.0.1:1", "s0");
    let cluster = Cluster::start(log, identity.member).await.map_err(|error| error.to_string())?;
    let mut leadership = cluster.leadership();
    let led = tokio::time::timeout(LED_WITHIN, leadership.wait_for(|now| now.leading)).await;
    led.map_err(|_| "the server does not lead")?.map_err(|error| error.to_string())?;
    let result = fill(&cluster, allocs).await;
    drop(leadership);
    let snapshot = cluster.snapshot_to_disk().await;
    cluster.stop().await;
    result?;
    snapshot.map(drop).map_err(|error| error.to_string())
}

async fn fill(cluster: &Cluster, allocs: usize) -> Result<(), String> {
    let member = cluster.member();
    let begin = Kind::BeginReign {
        server: member.server,
        boot_nonce: member.boot_nonce,
        incarnation: Incarnation(proto::ids::random_u64()),
    };
    propose(cluster, begin).await?;
    let reign = cluster.snapshot().reign.ok_or("the reign has not begun")?.reign;
    propose(cluster, Kind::PutSettings(Settings { node_timeout: LEASE, ..Settings::default() })).await?;
    let machines =
        (0..NODES).map(|number| Kind::RegisterNode { identity: machine(number), held: vec![], seen: None });
    propose_all(cluster, machines.collect()).await?;
    for number in 0..allocs.div_ceil(PER_JOB) {
        place(cluster, reign, number, PER_JOB.min(allocs - number * PER_JOB)).await?;
    }
    report_running(cluster).await
}

/// Submits one job and applies a plan that spreads it evenly.
async fn place(cluster: &Cluster, reign: Reign, number: usize, count: usize) -> Result<(), String> {
    let job: Job = service(&job_name(number), count as u32, "/bin/sleep", &["1000"], Duration::from_secs(1));
    let key = job.key.clone();
    let put = Kind::PutJob { job: Box::new(job), expected: None, message: String::new() };
    let request: RequestId = random_request_id();
    let written = cluster.write("bench", request, put).await.map_err(|error| error.to_string())?;
    let Outcome::Written { version, .. } = written else { return Err(format!("{written:?}")) };
    let (each, mut first) = (count.div_ceil(NODES), 0);
    let mut runs = Vec::new();
    for node in 0..NODES {
        let part = each.min(count - first);
        if part == 0 {
            break;
        }
        let (id, generation) = generation(cluster, node)?;
        runs.push(PlanRun {
            node: id,
            generation,
            first_index: first as u32,
            count: part as u32,
            reason: PlaceReason::default(),
        });
        first += part;
    }
    // A plan of that many runs stays below the largest command.
    let item = PlanItem { job: key, version, group: "main".to_owned(), runs };
    let seq = cluster.snapshot().last_plan_seq + 1;
    let plan = Plan { reign, seq, items: vec![item], ..Plan::default() };
    match propose(cluster, Kind::ApplyPlan(plan)).await? {
        Outcome::Planned { refused } if refused.is_empty() => Ok(()),
        other => Err(format!("a plan was refused: {other:?}").chars().take(300).collect()),
    }
}

fn generation(cluster: &Cluster, node: usize) -> Result<(NodeId, Generation), String> {
    let id = machine(node).id;
    let state = cluster.snapshot();
    state.nodes.get(&id).map(|record| (id, record.generation)).ok_or_else(|| "a node is missing".to_owned())
}

async fn report_running(cluster: &Cluster) -> Result<(), String> {
    let state = cluster.snapshot();
    let reports = state.nodes.iter().filter(|(_, record)| !record.allocs.is_empty()).map(|(node, record)| {
        let running = |(seq, id): (usize, &AllocId)| AllocStatus {
            id: *id,
            seq: seq as u64 + 1,
            state: AllocState::Running,
            tasks: vec![running_task(id.0)],
        };
        let statuses = record.allocs.iter().enumerate().map(running).collect();
        Kind::AllocStatus { node: *node, generation: record.generation, statuses }
    });
    propose_all(cluster, reports.collect()).await?;
    let ids: Vec<AllocId> = state.allocs.iter().map(|(id, _)| id).collect();
    let health = ids.chunks(HEALTHY_AT_ONCE).map(|ids| Kind::PutHealth { healthy: ids.to_vec() });
    propose_all(cluster, health.collect()).await
}

fn running_task(id: u64) -> TaskStatus {
    TaskStatus {
        name: "main".into(),
        phase: TaskPhase::Running,
        attempt: 1,
        window_try: 1,
        window_tries: None,
        pid: (id % 30_000) as u32 + 300,
        started_at: Some(proto::time::now()),
        last_end: None,
    }
}

async fn propose(cluster: &Cluster, kind: Kind) -> Result<Outcome, String> {
    match cluster.propose(kind).await.map_err(|error| error.to_string())? {
        Outcome::Refused(refusal) => Err(format!("refused: {refusal:?}")),
        outcome => Ok(outcome),
    }
}

/// Proposes many commands at once, so that they share syncs.
async fn propose_all(cluster: &Cluster, kinds: Vec<Kind>) -> Result<(), String> {
    use futures::StreamExt as _;
    let mut all = futures::stream::iter(kinds).map(|kind| propose(cluster, kind)).buffered(AT_ONCE);
    while let Some(outcome) = all.next().await {
        outcome?;
    }
    Ok(())
}
