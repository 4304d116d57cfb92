//! The agent, put together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pki::{Member, Role};
use proto::ids::{AllocId, NodeId};
use proto::key::ClusterKey;
use proto::model::{NodeIdentity, Resources};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::allocs::alloc::Shared;
use crate::allocs::manager::{self, Gone, Parts};
use crate::allocs::outbox::Outbox;
use crate::allocs::reattach;
use crate::allocs::view::View;
use crate::clock::Clock;
use crate::driver::Driver;
use crate::enrolment::{Membership, Trouble};
use crate::fingerprint;
use crate::limits::{DISK_AT_ONCE, LEAVE_GRACE, LEAVE_LOOKS, SWEEP_EVERY};
use crate::session::connection::{self, Link, Needs};
use crate::session::dial::Way;
use crate::session::reach::Reach;
use crate::store::allocs::{Allocs, AllocsError};
use crate::store::data_dir::{DataDir, DataDirError};
use crate::store::gauge::Gauge;
use crate::store::position::{self, PositionError};
use crate::tasks::facts::{NodeFacts, inherited};
use crate::tasks::local::Local;
use crate::tasks::perform::Context;
use crate::tasks::user::{DefaultUser, UserPolicy};
use crate::tasks::volumes::VolumePolicy;

/// What an agent is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it keeps everything; made when it is missing.
    pub data_dir: PathBuf,
    /// Unique among live nodes; none: the host name.
    pub name: Option<String>,
    /// `host:port` of servers, dialled in turn. Without any the agent only keeps what it has.
    pub servers: Vec<String>,
    /// What servers know it by, where they speak without TLS.
    pub token: Option<String>,
    /// The cluster's key, to enrol with; none: it has enrolled, or servers speak without TLS.
    pub key: Option<ClusterKey>,
    /// The address that others reach its tasks at.
    pub address: String,
    /// Whom tasks run as that name nobody.
    pub default_user: DefaultUser,
    /// Whether tasks may name root.
    pub allow_root: bool,
    /// For constraints; shown as attributes `meta.<key>`.
    pub meta: BTreeMap<String, String>,
    /// What this machine fails together with; none: with nothing but itself.
    pub failure_domain: Option<String>,
    /// What this machine has; none: what the kernel says.
    pub capacity: Option<Resources>,
    /// What of it is kept for the machine itself: tasks may take the rest.
    pub reserve: Resources,
    /// What of its disk tasks may use. Host volumes are shown as attributes `volume.<name>`.
    pub volumes: VolumePolicy,
    /// How much room its disk has.
    pub gauge: Gauge,
    /// How often it compares what runs with what should; every 30 s by default.
    pub sweep_every: Duration,
    /// Where time comes from.
    pub clock: Clock,
}

impl Config {
    /// Returns the defaults: host name, no servers, loopback address, `nobody` for root.
    #[must_use]
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            name: None,
            servers: Vec::new(),
            token: None,
            key: None,
            address: "127.0.0.1".into(),
            default_user: DefaultUser::for_this_process(),
            allow_root: false,
            meta: BTreeMap::new(),
            failure_domain: None,
            capacity: None,
            reserve: Resources::default(),
            volumes: VolumePolicy::default(),
            gauge: Gauge::Machine,
            sweep_every: SWEEP_EVERY,
            clock: Clock::Machine,
        }
    }
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// It cannot know what it has seen.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// Its certificate cannot be used.
    #[error(transparent)]
    Enrolment(#[from] Trouble),
    /// It cannot know what it runs.
    #[error(transparent)]
    Allocs(#[from] AllocsError),
}

/// What an agent is doing.
#[derive(Clone, Debug)]
pub struct Status {
    /// Who it is.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Its connection.
    pub link: Link,
    /// Its allocations.
    pub allocs: BTreeMap<AllocId, View>,
    /// Of what something runs here though no record says why; left alone.
    pub leftovers: BTreeSet<AllocId>,
    /// How many of them servers have still to learn something of.
    pub unreported: usize,
}

/// Starts agents.
#[derive(Clone, Copy, Debug)]
pub struct Agent;

/// A running agent. Dropping it leaves it running until the runtime ends; call [`Handle::stop`].
#[derive(Debug)]
pub struct Handle {
    identity: watch::Sender<NodeIdentity>,
    local: watch::Sender<Arc<Local>>,
    manager: manager::Handle,
    outbox: Arc<Outbox>,
    link: watch::Receiver<Link>,
    cancel: CancellationToken,
    tracker: TaskTracker,
}

impl Agent {
    /// Takes the data directory, finds what runs here already, and connects to the servers in the background. Waits for the
    /// driver to answer.
    ///
    /// # Errors
    /// When the data directory is in use, or what is in it cannot be read.
    pub async fn start(config: Config, driver: Arc<dyn Driver>) -> Result<Handle, StartError> {
        let dir = Arc::new(DataDir::open(&config.data_dir)?);
        let identity = identity_of(&config, dir.node_id()?);
        let own = Member { role: Role::Agent, name: identity.name.clone(), id: identity.id.0 };
        let membership = Membership::open(&config.data_dir, own, config.key.as_ref())?;
        let newest = position::load(&dir)?;
        let store = Allocs::new(dir.clone());
        let found = reattach::find(&store, driver.as_ref(), config.clock, &identity.boot_id).await?;
        tracing::info!(node = %identity.id, allocations = found.allocs.len(), "agent starts");

        let cancel = CancellationToken::new();
        let tracker = TaskTracker::new();
        let outbox = Arc::new(Outbox::default());
        let (gate, may_start) = watch::channel(!found.has_rebooted);
        let ends = driver.ends();
        let (local_sender, local) = watch::channel(Arc::new(local_of(&config, &identity)));
        let tasks =
            Context { driver, store, local, tracker: tracker.clone(), disk: Semaphore::new(DISK_AT_ONCE) };
        let tasks = Arc::new(tasks);
        let shared = Shared {
            tasks: tasks.clone(),
            outbox: outbox.clone(),
            clock: config.clock,
            may_start,
            token: cancel.clone(),
            tracker: tracker.clone(),
        };
        let allocs = dir.allocs();
        let parts = Parts {
            shared: Arc::new(shared),
            gate,
            dir,
            newest,
            boot_id: identity.boot_id.clone(),
            gauge: config.gauge,
            sweep_every: config.sweep_every,
            found: found.allocs,
            leftovers: found.leftovers,
        };
        let manager = manager::spawn(parts, ends);
        let (link_sender, link) = watch::channel(Link::default());
        let (identity_sender, identity) = watch::channel(identity);
        let needs = Needs {
            identity,
            way: Way::new(config.token.as_deref(), membership.clone()),
            manager: manager.clone(),
            outbox: outbox.clone(),
            clock: config.clock,
            reach: Arc::new(Reach::new(tasks, manager.clone())),
            allocs,
            cancel: cancel.clone(),
        };
        if let Some(membership) = membership {
            let renewing = membership.run(config.servers.clone());
            tracker.spawn(cancel.clone().run_until_cancelled_owned(renewing));
        }
        tracker.spawn(connection::run(needs, config.servers, link_sender));
        let (identity, local) = (identity_sender, local_sender);
        Ok(Handle { identity, local, manager, outbox, link, cancel, tracker })
    }
}

/// Sees what an agent is doing. Cheap to clone; it keeps nothing running.
#[derive(Clone, Debug)]
pub struct Observer {
    identity: watch::Receiver<NodeIdentity>,
    manager: manager::Handle,
    outbox: Arc<Outbox>,
    link: watch::Receiver<Link>,
}

impl Observer {
    /// Returns what the agent is doing.
    ///
    /// # Errors
    /// When the agent is being stopped.
    pub async fn status(&self) -> Result<Status, Gone> {
        let allocs = self.manager.views().await?;
        let leftovers = self.manager.leftovers().borrow().clone();
        // After the wait: the session must be able to write what is borrowed here.
        let link = self.link.borrow().clone();
        let identity = self.identity.borrow().clone();
        let unreported = self.outbox.len();
        Ok(Status { node: identity.id, name: identity.name, link, allocs, leftovers, unreported })
    }
}

impl Handle {
    /// Takes over what may change while it runs: meta, failure domain, capacity, reserve, volumes and users; the rest of `config` is left
    /// alone. Servers learn of a new identity at once, by a new session; tasks that run go on as they are, the next start goes
    /// by the new rules. The same configuration again changes nothing.
    pub fn adopt(&self, config: &Config) {
        let before = self.identity.borrow().clone();
        let machine = identity_of(config, before.id);
        let NodeIdentity { capacity, attributes, failure_domain, .. } = machine;
        let identity = NodeIdentity { capacity, attributes, failure_domain, ..before.clone() };
        let local = Arc::new(local_of(config, &identity));
        self.local.send_replace(local);
        if identity != before {
            self.identity.send_replace(identity);
        }
    }

    /// Ends the agent, and returns when its data directory is free. Tasks go on; the next agent there finds them.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Asks the servers to drain this node within so long, and waits until nothing of them runs here; they let it take work again when an agent is
    /// back on this node. Returns how many allocations were left when the time, and [`LEAVE_GRACE`] for stops, was over: they run on.
    ///
    /// # Errors
    /// When the agent is being stopped.
    pub async fn leave(&self, within: Duration) -> Result<usize, Gone> {
        self.identity.send_if_modified(|identity| identity.leaving.replace(within) != Some(within));
        let over = tokio::time::Instant::now() + within + LEAVE_GRACE;
        loop {
            let status = self.status().await?;
            let left = status.allocs.values().filter(|view| !view.status.state.has_ended()).count();
            // What servers have not learned they would take for lost.
            if (left == 0 && status.unreported == 0) || tokio::time::Instant::now() >= over {
                return Ok(left);
            }
            tokio::time::sleep(LEAVE_LOOKS).await;
        }
    }

    /// Ends all tasks and waits until nothing runs any more; nothing new is begun from then on. For `dev`.
    ///
    /// # Errors
    /// When the agent is being stopped.
    pub async fn stop_tasks(&self) -> Result<(), Gone> {
        self.manager.stop_all().await
    }

    /// Returns what the agent is doing.
    ///
    /// # Errors
    /// When the agent is being stopped.
    pub async fn status(&self) -> Result<Status, Gone> {
        self.observer().status().await
    }

    /// Returns what sees this agent's doing.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer {
            identity: self.identity.subscribe(),
            manager: self.manager.clone(),
            outbox: self.outbox.clone(),
            link: self.link.clone(),
        }
    }

    /// Reaches what follows orders, for who gives them in the place of servers.
    #[must_use]
    pub(crate) const fn manager(&self) -> &manager::Handle {
        &self.manager
    }

    /// Returns who this node is, as servers are told.
    #[must_use]
    pub fn identity(&self) -> NodeIdentity {
        self.identity.borrow().clone()
    }
}

/// Who this node is, by its configuration and its machine.
fn identity_of(config: &Config, id: NodeId) -> NodeIdentity {
    let machine = fingerprint::read();
    let meta = config.meta.iter().map(|(key, value)| (format!("meta.{key}"), value.clone()));
    let volumes = config.volumes.named.keys().map(|name| (format!("volume.{name}"), "1".to_owned()));
    NodeIdentity {
        id,
        name: config.name.clone().unwrap_or(machine.host_name),
        machine_id: machine.machine_id,
        boot_id: machine.boot_id,
        address: config.address.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        capacity: less(config.capacity.unwrap_or(machine.capacity), config.reserve),
        attributes: machine.attributes.into_iter().chain(meta).chain(volumes).collect(),
        failure_domain: config.failure_domain.clone(),
        leaving: None,
    }
}

/// What tasks may take when some of it is kept; nothing where more is kept than there is.
const fn less(all: Resources, kept: Resources) -> Resources {
    Resources {
        cpu_millis: all.cpu_millis.saturating_sub(kept.cpu_millis),
        memory_bytes: all.memory_bytes.saturating_sub(kept.memory_bytes),
    }
}

/// What tasks find here.
fn local_of(config: &Config, identity: &NodeIdentity) -> Local {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Local {
        node: NodeFacts {
            name: identity.name.clone(),
            address: identity.address.clone(),
            attributes: identity.attributes.clone(),
            inherited: inherited(variables),
        },
        users: UserPolicy { default_user: config.default_user.clone(), allow_root: config.allow_root },
        volumes: config.volumes.clone(),
    }
}

#[cfg(test)]
mod tests;
