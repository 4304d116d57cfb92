//! Who is connected: one session per node, the newest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::error::{Error, Kind as ErrorKind};
use proto::ids::{Generation, NodeId};
use proto::limits::MESSAGE_BYTES;
use proto::wire::v1::{self, agent_server::AgentServer};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::leases::LeaseBook;
use super::logs::{Dials, LogsSpec};
use super::service::Service;
use crate::cluster::Cluster;
use crate::limits::DIAL_WITHIN;

/// What waits for one agent.
pub(super) type Outgoing = mpsc::Sender<Result<v1::ServerMessage, Status>>;

/// The sessions of this server. Clones are the same hub.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Cluster,
    leases: LeaseBook,
    seats: Mutex<HashMap<NodeId, Seat>>,
    dials: Dials,
    closing: CancellationToken,
}

/// A session's place in the hub.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) generation: Generation,
    /// The state may want something else of the node.
    pub(super) wake: Arc<Notify>,
    /// A newer session has taken the place.
    pub(super) close: CancellationToken,
    pub(super) out: Outgoing,
}

impl Hub {
    /// Makes a hub without sessions. [`Hub::run`] must be driven.
    #[must_use]
    pub fn new(cluster: Cluster, leases: LeaseBook) -> Self {
        let shared = Shared {
            cluster,
            leases,
            seats: Mutex::default(),
            dials: Dials::default(),
            closing: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Wakes the sessions of nodes whose agent must be told something, until it is dropped.
    pub async fn run(self) {
        loop {
            let changed = self.shared.cluster.view().changed_nodes().await;
            let seats = self.seats();
            changed.iter().filter_map(|node| seats.get(node)).for_each(|seat| seat.wake.notify_one());
        }
    }

    /// Returns the gRPC service that agents dial.
    #[must_use]
    pub fn service(&self) -> AgentServer<Service> {
        AgentServer::new(Service::new(self.clone())).max_decoding_message_size(MESSAGE_BYTES)
    }

    /// Returns how many agents are connected here.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.seats().len()
    }

    /// Ends all sessions, and those that begin from here on.
    pub fn close(&self) {
        self.shared.closing.cancel();
    }

    /// Asks an agent for the output of a task and returns it chunk by chunk, as soon as the agent has dialled. The last chunk may
    /// carry an error; dropping the receiver ends the reading on the agent too.
    ///
    /// # Errors
    /// `unavailable` when the agent is not connected here, does not dial within 10 s, or too many readers wait.
    pub async fn open_logs(&self, node: NodeId, spec: LogsSpec) -> Result<mpsc::Receiver<v1::LogsUp>, Error> {
        let unavailable =
            |message: &str| Error::new(ErrorKind::Unavailable, format!("node {node} {message}"));
        let mut dial = self.shared.dials.expect()?;
        let out = self.seats().get(&node).map(|seat| seat.out.clone());
        let out = out.ok_or_else(|| unavailable("is not connected"))?;
        let kind = Some(v1::server_message::Kind::OpenLogs(spec.ask(dial.ticket)));
        out.try_send(Ok(v1::ServerMessage { kind }))
            .map_err(|_| unavailable("does not read what it is sent"))?;
        match timeout(DIAL_WITHIN, &mut dial.dialled).await {
            Ok(Ok(())) => dial.chunks.take().ok_or_else(|| unavailable("was asked twice")),
            Ok(Err(_)) | Err(_) => Err(unavailable("did not answer in time")),
        }
    }

    /// Takes a node's place for a session; an older session of the node is closed. None when a newer one has the place.
    pub(super) fn sit(&self, node: NodeId, generation: Generation, out: Outgoing) -> Option<Seat> {
        let mut seats = self.seats();
        if seats.get(&node).is_some_and(|seat| seat.generation > generation) {
            return None;
        }
        let seat = Seat { generation, wake: Arc::new(Notify::new()), close: CancellationToken::new(), out };
        if let Some(older) = seats.insert(node, seat.clone()) {
            older.close.cancel();
        }
        Some(seat)
    }

    /// Gives a place back, unless another session has it.
    pub(super) fn leave(&self, node: NodeId, generation: Generation) {
        let mut seats = self.seats();
        if seats.get(&node).is_some_and(|seat| seat.generation == generation) {
            seats.remove(&node);
        }
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.shared.cluster
    }

    pub(super) fn leases(&self) -> &LeaseBook {
        &self.shared.leases
    }

    pub(super) fn dials(&self) -> &Dials {
        &self.shared.dials
    }

    pub(super) fn closing(&self) -> &CancellationToken {
        &self.shared.closing
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<NodeId, Seat>> {
        self.shared.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
