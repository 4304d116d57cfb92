//! Assembles the server.

use std::net::TcpListener;
use std::path::PathBuf;

use proto::error::{Error, Kind};
use proto::key::ClusterKey;
use server::server::Config;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Running;

/// Settings of the cluster that a server puts when it begins to lead.
pub use server::leader::{Overrides, Scheduled};
/// Heartbeats and elections.
pub use server::raft::Timings;
/// What keeps the replicated log.
pub use server::raft::log_store::Backend;

/// What a server is given.
#[derive(Debug)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// Where it keeps its log, its snapshots and its token; made if missing.
    pub data_dir: PathBuf,
    /// Where it listens, bound already: whoever chose the port knows that it has it.
    pub listener: TcpListener,
    /// The address that others reach it at; none: the one it listens on.
    pub advertise: Option<String>,
    /// What keeps the log; none: as the data directory has it.
    pub log_store: Option<Backend>,
    /// Heartbeats and elections.
    pub timings: Timings,
    /// Settings of the cluster that it puts when it begins to lead.
    pub overrides: Overrides,
    /// The cluster's key.
    pub key: Option<ClusterKey>,
    /// The key before it, while it is changed.
    pub old_key: Option<ClusterKey>,
    /// Addresses of other servers, host:port, and maybe its own.
    pub join: Vec<String>,
    /// How many servers make a new cluster; 0: it makes none with others.
    pub expect: u32,
    /// Snapshots that it takes by itself while it leads.
    pub snapshots: Option<Scheduled>,
}

/// A server that answers.
#[derive(Debug)]
pub struct Serving {
    /// What lets a client in.
    pub token: String,
    /// Where the token is kept.
    pub token_file: PathBuf,
    /// Whether this start made the token.
    pub first_start: bool,
    /// The keys of the cluster that it goes by from now on, the newest first.
    pub keys: watch::Sender<Vec<ClusterKey>>,
    /// The server itself.
    pub running: Running,
}

/// Starts a server and returns when it answers requests.
///
/// # Errors
/// What keeps it from serving.
pub async fn start(options: Options) -> Result<Serving, Error> {
    let Options {
        name,
        data_dir,
        listener,
        advertise,
        log_store,
        timings,
        overrides,
        key,
        old_key,
        join,
        expect,
        snapshots,
    } = options;
    let token_file = data_dir.join(server::identity::TOKEN_FILE);
    let mut config = Config::new(data_dir, name, listener);
    (config.advertise, config.backend) = (advertise, log_store);
    (config.timings, config.overrides) = (timings, overrides);
    (config.key, config.old_key, config.join, config.expect) = (key, old_key, join, expect);
    config.snapshots = snapshots;
    let handle = server::server::start(config).await;
    let handle = handle.map_err(|error| Error::new(Kind::Refused, super::chain(&error)))?;
    let (token, first_start) = (handle.token().to_owned(), handle.is_first_start());
    let stop = CancellationToken::new();
    let asked = stop.clone();
    let (keys, mut rekeyed) = watch::channel(Vec::new());
    let running = Running::spawn("server", stop, async move {
        let mut fatal = handle.fatal();
        let died = loop {
            tokio::select! {
                () = asked.cancelled() => break None,
                Ok(reason) = fatal.wait_for(Option::is_some) => break reason.clone(),
                Ok(()) = rekeyed.changed() => handle.rekey(&rekeyed.borrow_and_update()),
            }
        };
        handle.stop().await;
        died.map_or(Ok(()), |reason| {
            Err(Error::new(Kind::Internal, format!("the server cannot go on: {reason}")))
        })
    });
    Ok(Serving { token, token_file, first_start, keys, running })
}
