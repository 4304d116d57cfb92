//! Who is connected: one session per node, the newest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::error::{Error, Kind as ErrorKind};
use proto::ids::{Generation, NodeId};
use proto::limits::MESSAGE_BYTES;
use proto::wire::v1::{self, agent_server::AgentServer, answer, server_message};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::asks::{self, Asks, Question};
use super::dials::{Dial, Dials};
use super::exec::{ExecSpec, ExecWires, Joint};
use super::leases::LeaseBook;
use super::logs::{self, LogsSpec};
use super::news::News;
use super::service::Service;
use crate::cluster::Cluster;
use crate::limits::{DIAL_WITHIN, EXEC_QUEUED, LOG_CHUNKS_QUEUED};

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
    asks: Asks,
    log_dials: Dials<logs::Reader>,
    exec_dials: Dials<Joint>,
    closing: CancellationToken,
}

/// A session's place in the hub.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) generation: Generation,
    /// The state may want something else of the node.
    pub(super) news: Arc<News>,
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
            asks: Asks::default(),
            log_dials: Dials::default(),
            exec_dials: Dials::default(),
            closing: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Wakes the sessions of nodes whose agent must be told something, until it is dropped.
    pub async fn run(self) {
        loop {
            let (touches, state) = self.shared.cluster.view().changed_nodes().await;
            let seats = self.seats();
            for (node, touched) in touches {
                if let Some(seat) = seats.get(&node) {
                    seat.news.add(touched, &state);
                }
            }
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

    /// Asks an agent for the output of a task and returns it chunk by chunk, as soon as the agent has dialled. The first chunk says
    /// whether both streams come, the last one may carry an error; dropping the receiver ends the reading on the agent too.
    ///
    /// # Errors
    /// `unavailable` when the agent is not connected here, does not dial within 10 s, or too many readers wait.
    pub async fn open_logs(&self, node: NodeId, spec: LogsSpec) -> Result<mpsc::Receiver<v1::LogsUp>, Error> {
        let (reader, chunks) = mpsc::channel(LOG_CHUNKS_QUEUED);
        let dial = self.shared.log_dials.expect(reader)?;
        let ask = server_message::Kind::OpenLogs(spec.ask(dial.ticket));
        self.dialled(node, dial, ask).await?;
        Ok(chunks)
    }

    /// Asks an agent to run a command beside a task, and returns the way to it as soon as the agent has dialled. Whether it began
    /// is the first thing that the command's output says. A second call runs it a second time.
    ///
    /// # Errors
    /// `unavailable` when the agent is not connected here, does not dial within 10 s, or too many wait.
    pub async fn open_exec(&self, node: NodeId, spec: ExecSpec) -> Result<ExecWires, Error> {
        let (output_in, output) = mpsc::channel(EXEC_QUEUED);
        let (input, input_out) = mpsc::channel(EXEC_QUEUED);
        let dial = self.shared.exec_dials.expect(Joint { output: output_in, input: input_out })?;
        let ask = server_message::Kind::OpenExec(spec.ask(dial.ticket));
        self.dialled(node, dial, ask).await?;
        Ok(ExecWires { input, output })
    }

    /// Asks an agent something and returns what it answers.
    ///
    /// # Errors
    /// The agent's refusal; `unavailable` when it is not connected here, goes away, or does not answer within `within`: what was
    /// asked may be done all the same, and the same request id asks for the same thing.
    pub async fn ask(
        &self,
        node: NodeId,
        question: &Question,
        within: std::time::Duration,
    ) -> Result<answer::Kind, Error> {
        let Seat { generation, out, .. } = self.seat(node)?;
        let mut asked = self.shared.asks.expect(node, generation)?;
        let ask = server_message::Kind::Ask(question.to_wire(asked.number));
        self.send(node, &out, ask)?;
        match timeout(within, &mut asked.answer).await {
            Ok(Ok(answer::Kind::Refused(refused))) => Err(asks::refusal(refused)),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(self.unavailable(node, "went away before it answered")),
            Err(_) => Err(self.unavailable(node, "did not answer in time")),
        }
    }

    /// Sends what makes an agent dial, and waits until it has.
    async fn dialled<T>(
        &self,
        node: NodeId,
        mut dial: Dial<T>,
        ask: server_message::Kind,
    ) -> Result<(), Error> {
        self.send(node, &self.seat(node)?.out, ask)?;
        match timeout(DIAL_WITHIN, &mut dial.dialled).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.unavailable(node, "did not answer in time")),
        }
    }

    fn seat(&self, node: NodeId) -> Result<Seat, Error> {
        let seat = self.seats().get(&node).cloned();
        seat.ok_or_else(|| {
            self.unavailable(node, "is not connected")
                .hint("`minijob status` shows the nodes; its agent comes back by itself if it can")
        })
    }

    /// Takes a node's place for a session; an older session of the node is closed. None when a newer one has the place.
    pub(super) fn sit(&self, node: NodeId, generation: Generation, out: Outgoing) -> Option<Seat> {
        let mut seats = self.seats();
        if seats.get(&node).is_some_and(|seat| seat.generation > generation) {
            return None;
        }
        let seat = Seat { generation, news: Arc::default(), close: CancellationToken::new(), out };
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
        self.shared.asks.abandon(node, generation);
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.shared.cluster
    }

    pub(super) fn leases(&self) -> &LeaseBook {
        &self.shared.leases
    }

    pub(super) fn asks(&self) -> &Asks {
        &self.shared.asks
    }

    pub(super) fn log_dials(&self) -> &Dials<logs::Reader> {
        &self.shared.log_dials
    }

    pub(super) fn exec_dials(&self) -> &Dials<Joint> {
        &self.shared.exec_dials
    }

    pub(super) fn closing(&self) -> &CancellationToken {
        &self.shared.closing
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<NodeId, Seat>> {
        self.shared.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, node: NodeId, out: &Outgoing, kind: server_message::Kind) -> Result<(), Error> {
        let sent = out.try_send(Ok(v1::ServerMessage { kind: Some(kind) }));
        sent.map_err(|_| self.unavailable(node, "does not read what it is sent"))
    }

    fn unavailable(&self, node: NodeId, what: &str) -> Error {
        let state = self.shared.cluster.snapshot();
        let known = state.nodes.get(&node).map(|record| record.identity.name.clone());
        let name = known.unwrap_or_else(|| node.to_string());
        Error::new(ErrorKind::Unavailable, format!("node {name} {what}"))
    }
}
