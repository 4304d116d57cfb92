//! Simulated agents over real streams: they register, renew their lease at every heartbeat, take in what they are told, and, where that
//! is wanted, report it as running. They run nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proto::wire::v1::agent_client::AgentClient;
use proto::wire::v1::{self, agent_message, server_message};
use proto::wire::{WIRE_VERSION, agent};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::simulated::{Agent, Opened};
use crate::way::{MESSAGE_BYTES, Way};
use crate::world::machine;

/// Agents that share a connection where they can, below the 256 streams that a server allows on one.
const PER_CONNECTION: usize = 200;
/// Registrations under way on one connection.
const REGISTERING: usize = 16;
/// Connections that are made at once: each costs both ends a handshake where there is TLS.
const CONNECTING: usize = 32;
/// Messages of one agent that wait for the connection.
const QUEUED: usize = 4;
/// Beats of one connection per heartbeat interval: its agents are spread over them.
const BEATS: u32 = 20;
/// Orders that an agent may be behind.
const ORDERS: usize = 64;
/// Between two looks at what has been told.
const LOOK: Duration = Duration::from_millis(2);

/// What is asked of all agents of a fleet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Report everything as running, once more: in one message, or each allocation in a message of its own. From then on what they are
    /// told is reported at once.
    Report { apart: bool },
    /// Report the allocations with this last digit as failed, and those of the digit before as running again.
    Churn { digit: u64 },
    /// Those with this last digit fall silent, as machines without power do: no stream is closed.
    Lose { digit: usize },
}

/// How a fleet behaves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// Whether what it is told is reported as running at once.
    pub(crate) reports: bool,
    /// Whether each has a connection of its own, as agents on machines have. Where there are certificates each has.
    pub(crate) apart: bool,
}

/// What all agents of a fleet have seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Allocations that they have been told to run.
    pub(crate) told: AtomicU64,
    /// Reports that were acknowledged.
    pub(crate) acknowledged: AtomicU64,
    /// Reports of running that were acknowledged for the first time, less what fell silent.
    pub(crate) running: AtomicU64,
    /// Acknowledged heartbeats.
    pub(crate) beats: AtomicU64,
    /// Sessions that servers ended.
    pub(crate) ended: AtomicU64,
}

/// A fleet. Dropped, it is gone.
pub(crate) struct Fleet {
    orders: broadcast::Sender<Order>,
    tally: Arc<Tally>,
    _tasks: JoinSet<()>,
}

impl Fleet {
    /// Registers that many agents, which report nothing and share connections, and returns when all are.
    ///
    /// # Errors
    /// What the server says to the first that it refuses.
    pub(crate) async fn register(way: &Way, count: usize) -> Result<Self, String> {
        Self::register_as(way, count, Manner::default()).await
    }

    /// The same with another manner.
    ///
    /// # Errors
    /// See [`Fleet::register`].
    pub(crate) async fn register_as(way: &Way, count: usize, manner: Manner) -> Result<Self, String> {
        let per_connection = if manner.apart || way.secured.is_some() { 1 } else { PER_CONNECTION };
        let (orders, _) = broadcast::channel(ORDERS);
        let (tally, mut tasks) = (Arc::new(Tally::default()), JoinSet::new());
        let mut numbers = (0..count).collect::<Vec<_>>();
        let mut connections = JoinSet::new();
        while !numbers.is_empty() || !connections.is_empty() {
            while !numbers.is_empty() && connections.len() < CONNECTING {
                let mine = numbers.split_off(numbers.len().saturating_sub(per_connection));
                let (way, orders, tally) = (way.clone(), orders.clone(), tally.clone());
                connections
                    .spawn(async move { connection(&way, mine, manner.reports, &orders, &tally).await });
            }
            let Some(done) = connections.join_next().await else { break };
            for agent in done.map_err(|error| error.to_string())?? {
                tasks.spawn(agent.run());
            }
        }
        Ok(Self { orders, tally, _tasks: tasks })
    }

    /// Asks something of all.
    pub(crate) fn order(&self, order: Order) {
        self.orders.send(order).expect("agents listen as long as they live");
    }

    /// What they have seen.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Waits until a number of the tally is at least so much, and returns how long that took.
    ///
    /// # Errors
    /// When it takes longer than `patience`.
    pub(crate) async fn until(
        &self,
        number: fn(&Tally) -> &AtomicU64,
        least: u64,
        patience: Duration,
    ) -> Result<Duration, String> {
        let begun = Instant::now();
        loop {
            let now = number(&self.tally).load(Ordering::Relaxed);
            if now >= least {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > patience {
                let tally = &self.tally;
                return Err(format!("{now} of {least} after {patience:?}: {tally:?}"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn connection(
    way: &Way,
    numbers: Vec<usize>,
    reports: bool,
    orders: &broadcast::Sender<Order>,
    tally: &Arc<Tally>,
) -> Result<Vec<Agent>, String> {
    use futures::StreamExt as _;
    let Some(first) = numbers.first() else { return Ok(Vec::new()) };
    let channel = way.connect_as(&machine(*first)).await?;
    let begun = numbers.into_iter().map(|number| {
        let client = AgentClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES);
        async move { (number, register(client, way, number).await) }
    });
    let begun: Vec<_> = futures::stream::iter(begun).buffer_unordered(REGISTERING).collect().await;
    let at = Instant::now();
    let agents = begun.into_iter().map(|(number, opened)| {
        let opened = opened?;
        let first_beat = at + opened.heartbeat * (number as u32 % BEATS) / BEATS;
        Ok(Agent::new(number, opened, first_beat, orders.subscribe(), tally.clone(), reports))
    });
    agents.collect()
}

async fn register(mut client: AgentClient<Channel>, way: &Way, number: usize) -> Result<Opened, String> {
    let (up, messages) = mpsc::channel(QUEUED);
    let opened = client.session(way.request_of_agent(ReceiverStream::new(messages))).await;
    let mut down = opened.map_err(|status| status.to_string())?.into_inner();
    let hello = down.message().await.map_err(|status| status.to_string())?;
    let Some(server_message::Kind::Hello(hello)) = hello.and_then(|message| message.kind) else {
        return Err(format!("agent {number} was not greeted"));
    };
    let register = v1::Register {
        wire: WIRE_VERSION,
        identity: Some(agent::identity_to_wire(&machine(number))),
        held: Vec::new(),
        position: None,
        seen: hello.revision,
    };
    let register = v1::AgentMessage { kind: Some(agent_message::Kind::Register(register)) };
    up.try_send(register).map_err(|error| error.to_string())?;
    let first = down.message().await.map_err(|status| status.to_string())?;
    match first.and_then(|message| message.kind) {
        Some(server_message::Kind::Registered(registered)) => {
            Ok(Opened { up, down, heartbeat: Duration::from_millis(registered.heartbeat_ms) })
        }
        other => Err(format!("agent {number} was answered with {other:?}")),
    }
}
