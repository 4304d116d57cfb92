//! Assembles the agent.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proto::error::{Error, Kind};

use super::Running;

/// What an agent is given.
pub struct Options {
    /// Its node's name.
    pub name: String,
    /// Where it keeps its allocations and its node id; made if missing. The keeper of it runs already.
    pub data_dir: PathBuf,
    /// Servers as `host:port`, tried in turn.
    pub servers: Vec<String>,
    /// What lets it in.
    pub token: Option<String>,
    /// The address that others reach this machine's tasks at; none: the one that reaches the servers.
    pub advertise: Option<String>,
    /// Facts about the machine that people gave.
    pub meta: BTreeMap<String, String>,
    /// Whether all tasks are ended, and waited for, when the agent is; else they run on.
    pub tasks_end_too: bool,
}

/// Starts an agent. It goes on trying while no server answers.
///
/// # Errors
/// What keeps it from running tasks.
pub async fn start(options: Options) -> Result<Running, Error> {
    let Options { name, data_dir, servers, token, advertise, meta, tasks_end_too } = options;
    let _ = (name, data_dir, servers, token, advertise, meta, tasks_end_too);
    Err(Error::new(Kind::Internal, "this build has no agent"))
}
