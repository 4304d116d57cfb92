//! Assembles the agent.

use std::collections::BTreeMap;
use std::net::{ToSocketAddrs as _, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use client::agent::{Agent, Config};
use client::driver::process::Processes;
use client::keeper::Connector;
use client::tasks::user::DefaultUser;
use proto::error::{Error, Kind};
use tokio_util::sync::CancellationToken;

use super::Running;

/// What an agent is given.
pub struct Options {
    /// Its node's name.
    pub name: String,
    /// Where it keeps its allocations and its node id; made if missing.
    pub data_dir: PathBuf,
    /// The parent of its tasks, which runs already.
    pub keeper: Connector,
    /// Servers as `host:port`, tried in turn.
    pub servers: Vec<String>,
    /// What lets it in.
    pub token: Option<String>,
    /// The address that others reach this machine's tasks at; none: the one that reaches the servers.
    pub advertise: Option<String>,
    /// Facts about the machine that people gave.
    pub meta: BTreeMap<String, String>,
    /// A developer's own: tasks run as who started it, and are ended, and waited for, when it ends; else they run on.
    pub personal: bool,
}

/// Starts an agent. It goes on trying while no server answers.
///
/// # Errors
/// What keeps it from running tasks.
pub async fn start(options: Options) -> Result<Running, Error> {
    let personal = options.personal;
    let address = options.advertise.unwrap_or_else(|| address_towards(&options.servers));
    let mut config = Config::new(options.data_dir);
    config.name = Some(options.name);
    config.servers = options.servers;
    config.token = options.token;
    config.address = address;
    config.meta = options.meta;
    if personal {
        config.default_user = DefaultUser::SameAsAgent;
        config.allow_root = true;
    }
    let keeper = options.keeper;
    let driver = Arc::new(Processes::new(&keeper));
    let agent = Agent::start(config, driver).await;
    let agent = agent.map_err(|error| Error::new(Kind::Refused, super::chain(&error)))?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    Ok(Running::spawn("agent", stop, async move {
        asked.cancelled().await;
        if personal {
            // Without its manager there is nothing left to end.
            agent.stop_tasks().await.ok();
        }
        agent.stop().await;
        if personal {
            // It would find out by itself that nobody needs it, some seconds later.
            tokio::task::spawn_blocking(move || client::keeper::dismiss(&keeper)).await.ok();
        }
        Ok(())
    }))
}

/// Returns the address of this machine that packets to the servers come from; loopback when none can be reached.
///
/// Connecting a datagram socket sends nothing: it asks the kernel which way it would go.
fn address_towards(servers: &[String]) -> String {
    let towards = |server: &String| {
        let there = server.to_socket_addrs().ok()?.next()?;
        let here = if there.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(here).ok()?;
        socket.connect(there).ok()?;
        Some(socket.local_addr().ok()?.ip().to_string())
    };
    servers.iter().find_map(towards).unwrap_or_else(|| "127.0.0.1".to_owned())
}
