//! Settings of a server's share of the replicated log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::SnapshotPolicy;

use super::compaction;
use super::error::StartError;
use super::log_store;
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
}

/// Elections and heartbeats.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Between two heartbeats of a leader. 200 ms by default.
    pub heartbeat: Duration,
    /// The shortest silence before a server stands for election. 1 s by default.
    pub election_min: Duration,
    /// The longest silence before it does. 2 s by default.
    pub election_max: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Timings {
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_secs(1),
            election_max: Duration::from_secs(2),
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
        }
    }
}

/// The settings that openraft has to know.
pub(super) fn openraft_config(config: &Config) -> Result<Arc<openraft::Config>, StartError> {
    let millis = |duration: Duration| duration.as_millis() as u64;
    let openraft = openraft::Config {
        cluster_name: "minijob".into(),
        heartbeat_interval: millis(config.timings.heartbeat),
        election_timeout_min: millis(config.timings.election_min),
        election_timeout_max: millis(config.timings.election_max),
        snapshot_policy: SnapshotPolicy::Never,
        // `compaction` says what is purged.
        max_in_snapshot_log_to_keep: u64::MAX,
        ..openraft::Config::default()
    };
    openraft.validate().map(Arc::new).map_err(|error| StartError::Timings(error.into()))
}
