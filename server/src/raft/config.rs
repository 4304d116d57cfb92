//! Settings of a server's share of the replicated log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::SnapshotPolicy;

use super::compaction;
use super::error::StartError;
use super::log_store;
use super::network::dial::{Dial, Plain};
use super::route::ClusterId;
use crate::limits;

/// Settings of a server's share of the replicated log.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where log and snapshots are kept, in a folder `raft` of it.
    pub data_dir: PathBuf,
    /// This server's id: random, made once, kept in the data directory by the caller. Never reused with other data.
    pub server_id: u64,
    /// Where this server listens, as others are told.
    pub addr: String,
    /// What people call it.
    pub name: String,
    /// The log store.
    pub store: log_store::Options,
    /// Elections and heartbeats.
    pub timings: Timings,
    /// When a snapshot is taken.
    pub snapshots: compaction::Policy,
    /// How long a proposal waits for its outcome. 10 s by default.
    pub propose_timeout: Duration,
    /// What the first start of a data directory makes.
    pub bootstrap: Bootstrap,
    /// The cluster, once it is known; messages of another one are refused.
    pub cluster: ClusterId,
    /// How other servers are reached.
    pub dial: Arc<dyn Dial>,
}

/// What the first start of a data directory makes. Later starts go on as what it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bootstrap {
    /// A cluster of this server alone. The default.
    #[default]
    Alone,
    /// Nothing: it waits until [`super::Handle::bootstrap`] makes a cluster, or the leader of one adds it.
    Wait,
}

/// Elections and heartbeats.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Between two heartbeats of a leader. 200 ms by default; at most half of the shortest silence.
    pub heartbeat: Duration,
    /// The shortest silence before a server stands for election. 600 ms by default.
    pub election_min: Duration,
    /// The longest silence before it does. 900 ms by default.
    pub election_max: Duration,
}

impl Timings {
    /// How long after a sign of life of the leader no vote is given to another one: shorter than the silence, or a server would stand
    /// before anybody may vote for it.
    pub(super) fn lease(&self) -> Duration {
        self.election_min * 5 / 6
    }

    /// How long votes are waited for.
    pub(super) fn vote_within(&self) -> Duration {
        self.election_min * 2 / 3
    }
}

impl Default for Timings {
    fn default() -> Self {
        Timings {
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_millis(600),
            election_max: Duration::from_millis(900),
        }
    }
}

impl Config {
    /// The defaults.
    pub fn new(data_dir: impl Into<PathBuf>, server_id: u64, addr: &str, name: &str) -> Self {
        Config {
            data_dir: data_dir.into(),
            server_id,
            addr: addr.into(),
            name: name.into(),
            store: log_store::Options::new(None),
            timings: Timings::default(),
            snapshots: compaction::Policy::default(),
            propose_timeout: limits::PROPOSE_TIMEOUT,
            bootstrap: Bootstrap::default(),
            cluster: ClusterId::default(),
            dial: Arc::new(Plain),
        }
    }
}

/// The settings that openraft has to know.
pub(super) fn openraft_config(config: &Config) -> Result<Arc<openraft::Config>, StartError> {
    let millis = |duration: Duration| duration.as_millis() as u64;
    let openraft = openraft::Config {
        cluster_name: "minijob".into(),
        heartbeat_interval: millis(config.timings.heartbeat),
        // Elections are ours. To openraft these are how long it waits for votes, and for how long it gives none after a heartbeat.
        enable_elect: false,
        election_timeout_min: millis(config.timings.vote_within()),
        election_timeout_max: millis(config.timings.lease()),
        max_payload_entries: limits::REPLICATION_ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::Never,
        // `compaction` says what is purged.
        max_in_snapshot_log_to_keep: u64::MAX,
        ..openraft::Config::default()
    };
    openraft.validate().map(Arc::new).map_err(|error| StartError::Timings(error.into()))
}
