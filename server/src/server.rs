//! Assembles a server: identity, log, state, leader loops, sessions, and the port they are all reached at.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pki::tls::Credentials;
use pki::{Member, Role};
use proto::key::ClusterKey;
use proto::time::now;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;

use crate::agents::{Hub, LeaseBook};
use crate::api;
use crate::cluster::Cluster;
use crate::core::forming::Server;
use crate::enrolment::{self, Enrolment};
use crate::forming::{self, Forming};
use crate::identity::{self, Identity};
use crate::leader::{self, Duties, Overrides, Scheduled};
use crate::metrics::{self, Metrics};
use crate::peers;
use crate::raft::{self, Backend, Bootstrap, ByKey, ClusterId, Dial, Plain, Secured, Timings};

/// What a server is given.
#[derive(Debug)]
pub struct Config {
    /// Where everything is kept; made if it is missing.
    pub data_dir: PathBuf,
    /// What people call it.
    pub name: String,
    /// Where it listens. Bound by the caller, so that a taken port is found before anything is touched.
    pub listener: TcpListener,
    /// Where others reach it, if not where it listens.
    pub advertise: Option<String>,
    /// Where the log is kept; fixed by the first start of a data directory. None: as the directory has it.
    pub backend: Option<Backend>,
    /// Elections.
    pub timings: Timings,
    /// Settings that it puts into the state when it begins to lead.
    pub overrides: Overrides,
    /// The cluster's key: with it the port speaks TLS alone. Without one no other server can call it, and it calls none.
    pub key: Option<ClusterKey>,
    /// The key before it, which holds beside it while the key is changed.
    pub old_key: Option<ClusterKey>,
    /// Addresses of other servers, host:port, and maybe its own. None: it is a cluster of its own, unless it belongs to one.
    pub join: Vec<String>,
    /// How many servers make a new cluster; 0: those that it joins belong to one, or it is alone.
    pub expect: u32,
    /// Snapshots that it takes by itself while it leads.
    pub snapshots: Option<Scheduled>,
}

impl Config {
    /// The defaults.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, name: impl Into<String>, listener: TcpListener) -> Self {
        Self {
            data_dir: data_dir.into(),
            name: name.into(),
            listener,
            advertise: None,
            backend: None,
            timings: Timings::default(),
            overrides: Overrides::default(),
            key: None,
            old_key: None,
            join: Vec::new(),
            expect: 0,
            snapshots: None,
        }
    }
}

/// Why a server did not start. Nothing of it runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("cannot use the data directory")]
    Identity(#[source] identity::Error),
    /// The log or the state cannot be opened.
    #[error("cannot open the replicated log")]
    Raft(#[source] raft::StartError),
    /// The listener cannot be used.
    #[error("cannot listen")]
    Listen(#[source] std::io::Error),
    /// Several servers are wanted, and there is no key.
    #[error(
        "a cluster of several servers needs a key, the same file on each of them: `minijob operator key FILE` makes one, --key-file names it"
    )]
    NoKey,
    /// What the server has agreed to cannot be read.
    #[error("cannot tell which cluster this server belongs to")]
    Forming(#[source] forming::Unreadable),
    /// The certificates in the data directory cannot be used, or none can be made.
    #[error("cannot use this server's certificates")]
    Enrolment(#[source] enrolment::Error),
    /// The token in the data directory is none.
    #[error(
        "the file `token` in the data directory holds no token: put one there, or remove it to have a new one made"
    )]
    Token(#[source] api::BadToken),
}

/// A server that runs. It must be stopped with [`Handle::stop`]; dropping it leaves its tasks to the runtime.
pub struct Handle {
    cluster: Cluster,
    hub: Hub,
    addr: SocketAddr,
    identity: Identity,
    enrolment: Option<Enrolment>,
    stop: CancellationToken,
    tasks: TaskTracker,
    fatal: watch::Receiver<Option<String>>,
}

/// Starts a server. When this returns it listens; it leads, and serves agents, a moment later.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: Config) -> Result<Handle, StartError> {
    let Config { data_dir, name, listener, advertise, backend, timings, .. } = config;
    let Config { overrides, key, old_key, join, expect, snapshots, .. } = config;
    let is_one_of_several = !join.is_empty() || expect > 1;
    if is_one_of_several && key.is_none() {
        return Err(StartError::NoKey);
    }
    let (listener, addr) = bound(listener).map_err(StartError::Listen)?;
    let shared_token = key.as_ref().map(api::Token::of_key);
    let shared = shared_token.as_ref().map(api::Token::reveal);
    let identity = Identity::open_with(&data_dir, shared).map_err(StartError::Identity)?;
    let token = api::Token::parse(&identity.token).map_err(StartError::Token)?;
    let reached_at = advertise.unwrap_or_else(|| addr.to_string());
    let waits = is_one_of_several || forming::has_promised(&data_dir).map_err(StartError::Forming)?;
    let own = Server { id: identity.member.server.0, addr: reached_at.clone(), name: name.clone() };
    let keys = key.into_iter().chain(old_key).collect();
    let enrolment = enrolment(keys, &data_dir, &own, addr).map_err(StartError::Enrolment)?;
    let (ways, cluster_id) = (Ways::of(enrolment.as_ref()), ClusterId::default());
    let log = raft::Config {
        store: raft::log_store::Options::new(backend),
        timings,
        bootstrap: if waits { Bootstrap::Wait } else { Bootstrap::Alone },
        cluster: cluster_id.clone(),
        dial: ways.members.clone(),
        ..raft::Config::new(&data_dir, identity.member.server.0, &reached_at, &name)
    };
    let cluster = Cluster::start(log, identity.member).await.map_err(StartError::Raft)?;
    found_alone(enrolment.as_ref(), waits).map_err(StartError::Enrolment)?;
    let forming = forming::Config {
        data_dir,
        own,
        join,
        expect,
        dial: ways.strangers,
        enrolment: enrolment.clone(),
        cluster: cluster_id,
    };
    let forming = Forming::new(forming, cluster.clone()).map_err(StartError::Forming)?;
    let leases = LeaseBook::default();
    let hub = Hub::new(cluster.clone(), leases.clone());
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let metrics = numbers(snapshots.as_ref());
    let duties = Duties { cluster: cluster.clone(), leases, overrides, snapshots };
    tasks.spawn(leader::run(duties, cluster.leadership(), stop.clone()));
    tasks.spawn(stop.clone().run_until_cancelled_owned(hub.clone().run()));
    tasks.spawn(stop.clone().run_until_cancelled_owned(forming.clone().run()));
    if let Some(enrolment) = enrolment.clone() {
        tasks.spawn(stop.clone().run_until_cancelled_owned(enrolment.run(cluster.clone())));
    }
    let services = services(&hub, &forming, enrolment.as_ref(), &cluster);
    let context = api::Context {
        cluster: cluster.clone(),
        sources: Arc::new(hub.clone()),
        hub: hub.clone(),
        token: Arc::new(token),
        enrolment: enrolment.clone(),
        members: enrolment.as_ref().map(|enrolment| enrolment.credentials().clone()),
        forward: api::Forward::new(ways.members),
        forming: enrolment.is_some().then(|| forming.clone()),
        hosts: [reached_at.as_str(), name.as_str()].iter().map(|host| host_of(host)).collect(),
        name: name.as_str().into(),
        address: reached_at.as_str().into(),
        metrics,
    };
    let tls = enrolment.as_ref().map(Enrolment::acceptor);
    tasks.spawn(api::serve(listener, api::router(context, services), tls, stop.clone()));
    let (died, fatal) = watch::channel(None);
    tasks.spawn(stop.clone().run_until_cancelled_owned(watch_for_failure(cluster.clone(), died)));
    Ok(Handle { cluster, hub, addr, identity, enrolment, stop, tasks, fatal })
}

/// Makes the CA of a server that waits for no others: it is reached with a certificate from the first moment on.
fn found_alone(enrolment: Option<&Enrolment>, waits: bool) -> Result<(), enrolment::Error> {
    match enrolment.filter(|one| !waits && !one.credentials().is_enrolled()) {
        Some(enrolment) => enrolment.found("", now()),
        None => Ok(()),
    }
}

/// The numbers of this server.
fn numbers(snapshots: Option<&Scheduled>) -> Metrics {
    let metrics = Metrics::default();
    if let Some(scheduled) = snapshots {
        metrics.add(metrics::scheduled_snapshots(scheduled.counts.clone()));
    }
    metrics
}

/// Reads this server's certificates; none without a key.
fn enrolment(
    keys: Vec<ClusterKey>,
    data_dir: &Path,
    own: &Server,
    listens: SocketAddr,
) -> Result<Option<Enrolment>, enrolment::Error> {
    let config = (!keys.is_empty()).then(|| enrolment::Config {
        data_dir: data_dir.to_owned(),
        own: Member { role: Role::Server, name: own.name.clone(), id: own.id },
        hosts: hosts(&own.addr, listens),
        keys,
    });
    config.map(|config| Enrolment::open(config, now())).transpose()
}

fn bound(listener: TcpListener) -> std::io::Result<(tokio::net::TcpListener, SocketAddr)> {
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    Ok((tokio::net::TcpListener::from_std(listener)?, addr))
}

/// What other parts answer on the port. Without certificates there are no other servers, and nobody enrols.
fn services(hub: &Hub, forming: &Forming, enrolment: Option<&Enrolment>, cluster: &Cluster) -> Routes {
    let services = Routes::new(hub.service());
    let Some(enrolment) = enrolment else { return services };
    let raft = InterceptedService::new(cluster.raft().service(), peers::only(Role::Server));
    services.add_service(raft).add_service(forming.service()).add_service(enrolment.service(cluster.clone()))
}

/// How other servers are reached.
struct Ways {
    /// Those that are members: by certificates.
    members: Arc<dyn Dial>,
    /// Those that may become members: by the key.
    strangers: Arc<dyn Dial>,
}

impl Ways {
    /// Without certificates there are no others.
    fn of(enrolment: Option<&Enrolment>) -> Self {
        match enrolment {
            Some(enrolment) => Self {
                members: Arc::new(Secured::new(enrolment.credentials().clone())),
                strangers: Arc::new(ByKey::new(enrolment.keys().clone())),
            },
            None => Self { members: Arc::new(Plain), strangers: Arc::new(Plain) },
        }
    }
}

/// Names and addresses for programs that look for them in its certificate, such as curl: where it is reached, and this machine.
fn hosts(reached_at: &str, listens: SocketAddr) -> Vec<String> {
    let mut hosts = vec![host_of(reached_at), "localhost".into(), "127.0.0.1".into()];
    if !listens.ip().is_unspecified() {
        hosts.push(listens.ip().to_string());
    }
    hosts.dedup();
    hosts
}

impl Handle {
    /// Returns where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns what requests must bring.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.identity.token
    }

    /// Returns whether this was the first start of its data directory.
    #[must_use]
    pub fn is_first_start(&self) -> bool {
        self.identity.token_is_new
    }

    /// Returns what this server shows and believes; none: it has no key, and speaks without TLS.
    #[must_use]
    pub fn credentials(&self) -> Option<&Credentials> {
        self.enrolment.as_ref().map(Enrolment::credentials)
    }

    /// Goes by these keys of the cluster from now on, the newest first; nothing for a server that was started without one.
    pub fn rekey(&self, keys: &[ClusterKey]) {
        if let Some(enrolment) = &self.enrolment {
            enrolment.rekey(keys);
        }
    }

    /// Returns the cluster as this server sees it.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Returns the agents that are connected here.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Becomes `Some`, with the reason, when the server cannot go on; the process must then end.
    #[must_use]
    pub fn fatal(&self) -> watch::Receiver<Option<String>> {
        self.fatal.clone()
    }

    /// Stops: sessions are closed, another server leads if there is one, open requests end, the log is synced and closed. When it returns the data directory may be
    /// opened again.
    pub async fn stop(self) {
        // Agents first: they look for another server while this one still answers.
        self.hub.close();
        // The port stays open until another server leads: it asks for this one's vote.
        self.cluster.hand_over().await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.cluster.stop().await;
    }
}

/// Says why the server cannot go on, once.
async fn watch_for_failure(cluster: Cluster, died: watch::Sender<Option<String>>) {
    let (mut log, mut state) = (cluster.raft_failure(), cluster.view().broken());
    let reason = tokio::select! {
        Ok(reason) = log.wait_for(Option::is_some) => reason.clone(),
        Ok(reason) = state.wait_for(Option::is_some) => reason.clone(),
        else => None,
    };
    if let Some(reason) = &reason {
        tracing::error!(reason, "this server cannot go on");
    }
    died.send_replace(reason);
}

/// Returns the host of `host:port`, as a `Host` header has it.
fn host_of(address: &str) -> String {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_matches(['[', ']']).to_owned()
}

/// One server with a key.
#[cfg(test)]
mod keyed;
#[cfg(test)]
mod tests;
/// Three servers that form one cluster over their real ports.
#[cfg(test)]
mod three;
