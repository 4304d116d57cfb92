//! How much of everything there is, for Prometheus: counted while running, or read from the state when somebody asks.

mod process;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use proto::model::{AllocState, Eligibility, Liveness};
use proto::time::Timestamp;
use proto::view::Health;

use crate::cluster::Cluster;
use crate::core::state::State;
use crate::leader::Counts;
use crate::ops::views;

/// A whole number that is never negative.
type Amount = Gauge<u64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    transport: &'static str,
    status: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HealthLabels {
    health: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NodeLabels {
    liveness: &'static str,
    eligibility: &'static str,
}

/// Adds numbers of another part to the text.
type Part = Box<dyn Fn(&mut Registry) + Send + Sync>;

/// The numbers of a server. Clones are the same.
#[derive(Clone, Default)]
pub struct Metrics {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requests: Family<RequestLabels, Counter>,
    parts: Mutex<Vec<Part>>,
}

impl Metrics {
    /// Lets another part add its numbers (sessions, decisions): `part` is called whenever somebody asks. Names get the prefix
    /// `minijob_server_`.
    pub fn add(&self, part: impl Fn(&mut Registry) + Send + Sync + 'static) {
        self.shared.parts.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(part));
    }

    /// Counts an answered request.
    pub fn count_request(&self, transport: &'static str, status: StatusCode) {
        let labels = RequestLabels { transport, status: u32::from(status.as_u16()) };
        self.shared.requests.get_or_create(&labels).inc();
    }

    /// Writes all numbers in the OpenMetrics text format.
    #[must_use]
    pub fn render(&self, cluster: &Cluster) -> String {
        let mut registry = Registry::with_prefix("minijob_server");
        let requests = self.shared.requests.clone();
        registry.register("requests", "Requests answered, by transport and HTTP status", requests);
        raft(&mut registry, cluster);
        state(&mut registry, &cluster.snapshot(), cluster.now());
        for part in self.shared.parts.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            part(&mut registry);
        }
        let mut out = String::new();
        // Writing into a string cannot fail; a number that cannot be written would only be missing.
        let written = process::encode(&mut out).and_then(|()| text::encode(&mut out, &registry));
        if let Err(error) = written {
            tracing::error!(%error, "metrics could not be written");
        }
        out
    }
}

/// Returns what adds the numbers of scheduled snapshots.
pub fn scheduled_snapshots(counts: Arc<Counts>) -> impl Fn(&mut Registry) + Send + Sync + 'static {
    move |registry| {
        let count = |number: &AtomicU64| {
            let counter: Counter = Counter::default();
            counter.inc_by(number.load(Ordering::Relaxed));
            counter
        };
        registry.register("snapshots_scheduled", "Scheduled snapshots written here", count(&counts.taken));
        registry.register(
            "snapshots_failed",
            "Scheduled snapshots that could not be written here",
            count(&counts.failed),
        );
        set(
            registry,
            "snapshots_last_timestamp_seconds",
            "When the last one was written here; 0: none was since the start",
            counts.last_ms.load(Ordering::Relaxed) / 1000,
        );
    }
}

fn set(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let amount = Amount::default();
    amount.set(value);
    registry.register(name, help, amount);
}

fn raft(registry: &mut Registry, cluster: &Cluster) {
    let raft = cluster.raft_metrics();
    let leading = cluster.leadership().borrow().leading;
    set(registry, "is_leader", "1 on the server that leads", u64::from(leading));
    set(registry, "raft_term", "The newest term seen", raft.term);
    let index = |index: Option<u64>| index.unwrap_or(0);
    set(registry, "raft_last_log_index", "Index of the last entry in the log", index(raft.last_log));
    set(registry, "raft_applied_index", "Index of the last entry applied", index(raft.applied));
    set(
        registry,
        "raft_snapshot_index",
        "Index of the last entry in the newest snapshot",
        index(raft.snapshot),
    );
    set(registry, "raft_purged_index", "Index of the last entry removed from the log", index(raft.purged));
    set(registry, "raft_log_bytes", "Bytes of the log", raft.log_bytes);
    let syncs: Counter = Counter::default();
    syncs.inc_by(raft.syncs);
    registry.register("raft_syncs", "Syncs of the log since the start", syncs);
    set(
        registry,
        "raft_blob_files",
        "Files that the store wrote outside its log; anything but 0 is a fault",
        raft.blobs,
    );
}

fn state(registry: &mut Registry, state: &State, now: Timestamp) {
    let commands: Counter = Counter::default();
    commands.inc_by(state.revision.0);
    registry.register("commands", "Commands applied in the life of the cluster: its revision", commands);
    let jobs: Family<HealthLabels, Amount> = Family::default();
    for health in HEALTHS {
        drop(jobs.get_or_create(&HealthLabels { health: health_word(health) }));
    }
    for (_, record) in state.jobs.iter() {
        let health = views::judge(state, record, &views::tally(state, record), now).health;
        jobs.get_or_create(&HealthLabels { health: health_word(health) }).inc();
    }
    registry.register("jobs", "Jobs by health", jobs);
    let allocs: Family<StateLabels, Amount> = Family::default();
    for (_, alloc) in state.allocs.iter() {
        allocs.get_or_create(&StateLabels { state: state_word(alloc.state, alloc.lost) }).inc();
    }
    registry.register("allocations", "Allocations kept, by what their agents saw", allocs);
    nodes(registry, state);
    set(
        registry,
        "requests_kept",
        "Results of named writes that are kept",
        state.requests.iter().count() as u64,
    );
}

fn nodes(registry: &mut Registry, state: &State) {
    let nodes: Family<NodeLabels, Amount> = Family::default();
    for (_, node) in state.nodes.iter() {
        let liveness = match node.liveness {
            Liveness::Up => "up",
            Liveness::Down => "down",
        };
        let eligibility = match node.eligibility {
            Eligibility::Eligible => "eligible",
            Eligibility::Cordoned => "cordoned",
        };
        nodes.get_or_create(&NodeLabels { liveness, eligibility }).inc();
    }
    registry.register("nodes", "Nodes by liveness and eligibility", nodes);
}

const HEALTHS: [Health; 6] =
    [Health::Failing, Health::Waiting, Health::Pending, Health::Healthy, Health::Complete, Health::Stopped];

const fn health_word(health: Health) -> &'static str {
    match health {
        Health::Failing => "failing",
        Health::Waiting => "waiting",
        Health::Pending => "pending",
        Health::Healthy => "healthy",
        Health::Complete => "complete",
        Health::Stopped => "stopped",
    }
}

const fn state_word(state: AllocState, lost: bool) -> &'static str {
    if lost && !state.has_ended() { "lost" } else { state.word() }
}
