//! Servers find each other and become one cluster; [`crate::core::forming`] decides how.
//!
//! Every server greets those that it was told of and those that greeted it, until it belongs to a cluster. From then on it answers: it says
//! who it is, and, while it leads, adds who asks.

/// Taking in who asks, and letting them vote.
mod admission;
/// Calls to other servers.
mod calls;
/// Removing servers that are gone for long.
mod cleaning;
/// Greeting others until there is a cluster.
mod greeter;
mod levels;
/// Saying where this server is reached now.
mod moving;
/// What a server has promised, on disk.
mod promise;
/// Sealing the CA with a new key.
mod sealing;
/// What other servers call.
mod service;
/// Greetings as messages.
mod wire;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use proto::error::Error;
use proto::wire::v1::peer_server::PeerServer;
use proto::wire::{WIRE_VERSION, v1};
use tokio::time::Instant;

pub use promise::Unreadable;
pub use service::Service;

use self::calls::Calls;
use crate::cluster::Cluster;
use crate::core::forming::{Greeting, Promise, Server, decide};
use crate::core::state::{STATE_VERSION, State};
use crate::enrolment::Enrolment;
use crate::limits;
use crate::raft::{ClusterId, DISK_VERSION, Dial, Member, MemberStatus};

/// What a server is told about the others.
#[derive(Clone)]
pub struct Config {
    /// Where the promise is kept.
    pub data_dir: PathBuf,
    /// This server.
    pub own: Server,
    /// Addresses of others, and maybe its own: host:port.
    pub join: Vec<String>,
    /// How many servers make the first cluster; 0: it only joins one.
    pub expect: u32,
    /// How others are reached: by who has the key.
    pub dial: Arc<dyn Dial>,
    /// This server's certificate, which it has before it is part of any log; none: it is alone and has none.
    pub enrolment: Option<Enrolment>,
    /// Told which cluster it is as soon as the state says so.
    pub cluster: ClusterId,
}

/// A server's way into a cluster, and others' way into it. Clones are the same.
#[derive(Clone)]
pub struct Forming {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    cluster: Cluster,
    calls: Calls,
    promise: Mutex<Option<Promise>>,
    /// By the address that was asked, or that the greeting named.
    heard: Mutex<BTreeMap<String, Heard>>,
    /// One change of the membership at a time.
    admitting: tokio::sync::Mutex<()>,
}

/// What was last known of an address.
#[derive(Clone, Debug, Default)]
struct Heard {
    /// What it said, and when.
    said: Option<(Greeting, Instant)>,
    /// Why it did not answer, as it was last told.
    trouble: Option<String>,
}

/// Whether a data directory has promised anything: such a server never makes a cluster of its own.
///
/// # Errors
/// [`Unreadable`]
pub fn has_promised(data_dir: &std::path::Path) -> Result<bool, Unreadable> {
    promise::read(data_dir).map(|promise| promise.is_some())
}

impl Forming {
    /// Reads what was promised. [`Forming::run`] must be driven.
    ///
    /// # Errors
    /// [`Unreadable`]
    pub fn new(config: Config, cluster: Cluster) -> Result<Self, Unreadable> {
        let promise = promise::read(&config.data_dir)?;
        let heard = config.join.iter().map(|addr| (addr.clone(), Heard::default())).collect();
        let shared = Shared {
            calls: Calls::new(config.dial.clone()),
            promise: Mutex::new(promise),
            heard: Mutex::new(heard),
            admitting: tokio::sync::Mutex::new(()),
            config,
            cluster,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns the gRPC service for other servers. Whoever puts it on a port sees to it that only servers reach it.
    #[must_use]
    pub fn service(&self) -> PeerServer<Service> {
        PeerServer::new(Service::new(self.clone()))
    }

    /// Finds a cluster or makes one, tells the log which it is, and, while this server leads, lets vote who has caught up; until it is
    /// dropped.
    pub async fn run(self) {
        tokio::join!(
            greeter::run(&self),
            admission::promote(&self),
            sealing::run(&self),
            cleaning::run(&self),
            levels::run(&self),
            moving::run(&self),
            self.tell_cluster()
        );
    }

    /// Greets a server at its address and returns what it says of itself.
    ///
    /// # Errors
    /// `unavailable` when it does not answer in time; its refusal.
    pub async fn greet(&self, addr: &str) -> Result<Greeting, Error> {
        let answer = self.shared.calls.greet(addr, wire::greeting_to_wire(&self.greeting())).await?;
        wire::greeting_from_wire(answer)
    }

    /// Asks every member at this moment what it is, this one included; none: it does not answer, or another one does.
    async fn greet_all(&self) -> Vec<(Member, Option<Greeting>)> {
        let (own, members) = (self.greeting(), self.shared.cluster.raft().members());
        let met = members.into_iter().map(async |MemberStatus { member, .. }| {
            let met = match member.id == own.server.id {
                true => Some(own.clone()),
                false => self.greet(&member.addr).await.ok().filter(|met| met.server.id == member.id),
            };
            (member, met)
        });
        join_all(met).await
    }

    /// Asks every server at this moment for the marks of its keys, by name; none: it does not answer.
    pub async fn keys_of_all(&self) -> Vec<(String, Option<Vec<u64>>)> {
        sealing::keys_of_all(self).await
    }

    /// Returns the mark of the key that the cluster's CA is sealed with; none: not with one that this server has.
    #[must_use]
    pub fn sealed_with(&self, state: &State) -> Option<u64> {
        self.shared.config.enrolment.as_ref()?.sealed_with(state)
    }

    /// Removes a member of the cluster, while this server leads.
    ///
    /// # Errors
    /// `conflict` while another change goes on; `not_leader`; `unavailable` when no majority confirms it.
    pub async fn remove(&self, id: u64) -> Result<(), Error> {
        admission::remove(self, id).await
    }

    /// Returns what this server says of itself.
    #[must_use]
    pub fn greeting(&self) -> Greeting {
        let Shared { config, cluster, .. } = &*self.shared;
        let formed = !cluster.raft().members().is_empty();
        let mut own = Greeting {
            server: config.own.clone(),
            wire: WIRE_VERSION,
            wire_least: limits::PEER_WIRE_OLDEST,
            state: STATE_VERSION,
            disk: DISK_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: cluster.snapshot().cluster_id().map_or(0, |id| id.0),
            formed,
            expect: config.expect,
            sees: [config.own.id].into(),
            promise: self.promise().clone(),
            applied: cluster.raft_metrics().applied.unwrap_or(0),
            keys: config.enrolment.as_ref().map_or_else(Vec::new, Enrolment::marks),
        };
        let fresh = self.heard_now().into_iter().filter(is_candidate);
        own.sees.extend(fresh.map(|peer| peer.server.id));
        own
    }

    fn decide(&self) -> crate::core::forming::Step {
        let (own, heard) = (self.greeting(), self.heard_now());
        decide(&own, &heard, self.others())
    }

    /// What was said within the last moments.
    fn heard_now(&self) -> Vec<Greeting> {
        let recent = |(greeting, at): &(Greeting, Instant)| {
            (at.elapsed() < limits::GREETING_LASTS).then(|| greeting.clone())
        };
        self.heard().values().filter_map(|heard| heard.said.as_ref().and_then(recent)).collect()
    }

    /// How many other servers may be to make a cluster.
    fn others(&self) -> usize {
        let own = &self.shared.config.own;
        let mut ids = std::collections::BTreeSet::new();
        let mut silent = 0;
        for (addr, heard) in self.heard().iter() {
            match &heard.said {
                Some((greeting, _)) if greeting.expect > 1 => drop(ids.insert(greeting.server.id)),
                Some(_) => {}
                None => silent += usize::from(*addr != own.addr),
            }
        }
        ids.remove(&own.id);
        ids.len() + silent
    }

    /// Remembers who greeted us; from then on it is greeted too.
    fn hear(&self, greeting: Greeting) {
        let mut heard = self.heard();
        let addr = greeting.server.addr.clone();
        if heard.len() < limits::PEERS_KNOWN || heard.contains_key(&addr) {
            heard.insert(addr, Heard { said: Some((greeting, Instant::now())), trouble: None });
        }
    }

    /// Tells the log's messages which cluster this is, as soon as the state knows.
    async fn tell_cluster(&self) {
        let mut revisions = self.shared.cluster.revisions();
        loop {
            if let Some(id) = self.shared.cluster.snapshot().cluster_id() {
                self.shared.config.cluster.set(id.0);
            }
            if revisions.changed().await.is_err() {
                return;
            }
        }
    }

    fn heard(&self) -> MutexGuard<'_, BTreeMap<String, Heard>> {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn promise(&self) -> MutexGuard<'_, Option<Promise>> {
        self.shared.promise.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a server could be part of a new cluster.
fn is_candidate(peer: &Greeting) -> bool {
    !peer.formed && peer.expect > 1 && peer.promise.is_none()
}

/// Says who a member of the log is.
fn server_of(member: &crate::raft::Member) -> Server {
    Server { id: member.id, addr: member.addr.clone(), name: member.name.clone() }
}

/// Says who a server is, as the log knows it.
fn member_of(server: &Server) -> crate::raft::Member {
    crate::raft::Member { id: server.id, addr: server.addr.clone(), name: server.name.clone() }
}

/// An empty answer of a leader: the caller is a member.
fn joined() -> v1::PeerJoined {
    v1::PeerJoined::default()
}
