//! Assembles the agent.

use std::collections::BTreeMap;
use std::net::{TcpListener, ToSocketAddrs as _, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use client::agent::Config;
use client::driver::process::{Processes, Status};
use client::keeper::Connector;
use client::probes;
use client::tasks::user::DefaultUser;
use client::tasks::volumes::VolumePolicy;
use proto::error::{Error, Kind};
use proto::key::ClusterKey;
use proto::model::Resources;
use proto::units::show_duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Running;
use crate::config::Amounts;

/// How long the keeper may stay away before the agent ends. A keeper whose guard lives is back within milliseconds, on a busy
/// machine within a second or two; one that stays away can only be made by a new agent process, and until then no task starts,
/// stops or is seen to end.
const KEEPER_AWAY_MAX: Duration = Duration::from_secs(10);

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
    /// What lets it in, where servers speak without TLS.
    pub token: Option<String>,
    /// The cluster's key, to enrol with.
    pub key: Option<ClusterKey>,
    /// The address that others reach this machine's tasks at; none: the one that reaches the servers.
    pub advertise: Option<String>,
    /// What may change while it runs.
    pub rules: Rules,
    /// Where it answers probes, bound already; none: nowhere.
    pub http: Option<TcpListener>,
    /// A developer's own: tasks run as who started it, and are ended, and waited for, when it ends; else they run on.
    pub personal: bool,
}

/// What may change while an agent runs.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Facts about the machine that people gave.
    pub meta: BTreeMap<String, String>,
    /// What the machine fails together with; none: with nothing but itself.
    pub failure_domain: Option<String>,
    /// What the machine has, where the kernel is not asked.
    pub capacity: Amounts,
    /// What of it is kept for the machine itself.
    pub reserve: Amounts,
    /// Host volumes by name.
    pub volumes: BTreeMap<String, PathBuf>,
    /// Below which jobs may use any directory.
    pub allow_paths: Vec<PathBuf>,
    /// Whether tasks may run as root.
    pub allow_root: bool,
    /// Whom tasks run as that name nobody; none: whoever runs the agent.
    pub default_user: Option<String>,
    /// How long its node's work may take to move to others before it ends; none: its tasks run on.
    pub drain_on_shutdown: Option<Duration>,
}

impl Rules {
    fn put_into(self, config: &mut Config) {
        let given = |amounts: Amounts, rest: Resources| Resources {
            cpu_millis: amounts.cpu.map_or(rest.cpu_millis, u64::from),
            memory_bytes: amounts.memory.unwrap_or(rest.memory_bytes),
        };
        config.capacity = Some(given(self.capacity, client::fingerprint::read().capacity));
        config.reserve = given(self.reserve, Resources::default());
        config.meta = self.meta;
        config.failure_domain = self.failure_domain;
        config.volumes = VolumePolicy { named: self.volumes, allowed: self.allow_paths };
        config.allow_root = self.allow_root;
        config.default_user = self.default_user.map_or(DefaultUser::SameAsAgent, DefaultUser::Named);
    }
}

/// An agent that runs.
pub struct Agent {
    /// The agent itself.
    pub running: Running,
    rules: watch::Sender<Rules>,
}

impl Agent {
    /// Lets it go by other rules from now on. Tasks that run are left alone.
    pub fn follow(&self, rules: Rules) {
        self.rules.send_replace(rules);
    }
}

/// Starts an agent. It goes on trying while no server answers.
///
/// # Errors
/// What keeps it from running tasks. Later it ends by itself, and says so, when the keeper stays away for 10 s: whoever
/// supervises it starts it again, which makes a new keeper.
pub async fn start(options: Options) -> Result<Agent, Error> {
    let personal = options.personal;
    let address = options.advertise.unwrap_or_else(|| address_towards(&options.servers));
    let data_dir = options.data_dir.clone();
    let mut config = Config::new(options.data_dir);
    config.name = Some(options.name);
    config.servers = options.servers;
    (config.token, config.key) = (options.token, options.key);
    config.address = address;
    options.rules.clone().put_into(&mut config);
    if personal {
        config.default_user = DefaultUser::SameAsAgent;
        config.allow_root = true;
    }
    let keeper = options.keeper;
    let driver = Arc::new(Processes::new(&keeper));
    let status = driver.status();
    let token = config.token.clone();
    let agent = tokio::select! {
        agent = client::agent::Agent::start(config.clone(), driver) => agent,
        why = keeper_is_gone(status.clone()) => return Err(gone(&data_dir, &why)),
    };
    let agent = agent.map_err(|error| Error::new(Kind::Refused, super::chain(&error)))?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    if let Some(listener) = options.http {
        let watched = agent.observer();
        let serve = probes::serve(listener, watched, token, stop.clone()).await;
        serve.map_err(|cause| Error::new(Kind::Refused, format!("cannot answer probes: {cause}")))?;
    }
    let mut drain = options.rules.drain_on_shutdown;
    let (rules, mut changed) = watch::channel(options.rules);
    let running = Running::spawn("agent", stop, async move {
        let follow = async {
            while changed.changed().await.is_ok() {
                let rules = changed.borrow_and_update().clone();
                drain = rules.drain_on_shutdown;
                rules.put_into(&mut config);
                agent.adopt(&config);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = asked.cancelled() => {}
            () = follow => {}
            why = keeper_is_gone(status) => {
                // Its tasks cannot be asked to end, not even a developer's own.
                agent.stop().await;
                return Err(gone(&data_dir, &why));
            }
        }
        if let Some(within) = drain {
            leave(&agent, within).await;
        }
        if personal {
            // Without its manager there is nothing left to end.
            agent.stop_tasks().await.ok();
        }
        agent.stop().await;
        // It would find out by itself that nobody needs it, some time later. One that holds anything stays.
        tokio::task::spawn_blocking(move || client::keeper::dismiss(&keeper)).await.ok();
        Ok(())
    });
    Ok(Agent { running, rules })
}

/// Waits until the node's work runs elsewhere, and says what becomes of it.
async fn leave(agent: &client::agent::Handle, within: Duration) {
    tracing::info!(
        "the node is drained first, within {}; a second signal ends it at once",
        show_duration(within)
    );
    match agent.leave(within).await {
        Ok(0) => tracing::info!("nothing is left on the node"),
        Ok(left) => tracing::warn!(left, "the time is over; what is left runs on"),
        // Without its manager there is nothing to wait for.
        Err(_) => {}
    }
}

/// Waits until the keeper has been away for [`KEEPER_AWAY_MAX`], and returns what the last try to reach it met.
pub async fn keeper_is_gone(mut status: watch::Receiver<Status>) -> String {
    let is_here = |status: &Status| matches!(status, Status::Connected { .. });
    loop {
        if status.wait_for(|status| !is_here(status)).await.is_err() {
            break;
        }
        let back = async { status.wait_for(is_here).await.is_ok() };
        match tokio::time::timeout(KEEPER_AWAY_MAX, back).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => {
                if let Status::Away { why } = &*status.borrow() {
                    return why.clone();
                }
            }
        }
    }
    // The driver was dropped, with the agent: somebody ends it already.
    std::future::pending().await
}

/// Returns what is said of a keeper that is gone.
#[must_use]
pub fn gone(data_dir: &Path, why: &str) -> Error {
    let data_dir = data_dir.display();
    let message =
        format!("the keeper of {data_dir} is gone: {why}; a new start of the agent makes a new one");
    Error::new(Kind::Unavailable, message)
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

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Status = Status::Connected { keeper_pid: 7, deaths: 0 };

    fn away(why: &str) -> Status {
        Status::Away { why: why.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_keeper_that_stays_away_is_gone() {
        let (sender, status) = watch::channel(HERE);
        let begun = tokio::time::Instant::now();
        let moves = async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            sender.send_replace(away("refused"));
            tokio::time::sleep(Duration::from_secs(9)).await;
            sender.send_replace(HERE);
            tokio::time::sleep(Duration::from_secs(100)).await;
            sender.send_replace(away("refused"));
            tokio::time::sleep(Duration::from_secs(5)).await;
            // Another failed try is no sign of life.
            sender.send_replace(away("no such file"));
            std::future::pending::<()>().await;
        };
        let why = tokio::select! {
            why = keeper_is_gone(status) => why,
            () = moves => panic!("it has no end"),
        };
        assert_eq!(why, "no such file");
        assert_eq!(begun.elapsed().as_secs(), 219);
        let error = gone(Path::new("/data"), &why);
        assert!(error.message.starts_with("the keeper of /data is gone: no such file"), "{}", error.message);
    }
}
