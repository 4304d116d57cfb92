//! Simulated agents over real streams: they register, renew their lease at every heartbeat, and take in what they are told.
//! They run nothing and report nothing.

use std::time::Duration;

use proto::time::boottime;
use proto::wire::v1::agent_client::AgentClient;
use proto::wire::v1::{self, agent_message, server_message};
use proto::wire::{WIRE_VERSION, agent};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::control::with_token;
use crate::rig::Rig;
use crate::world::machine;

/// Agents that share a connection, below the 256 streams that a server allows on one.
const PER_CONNECTION: usize = 200;
/// Registrations under way on one connection.
const REGISTERING: usize = 16;
/// Messages of one agent that wait for the connection.
const QUEUED: usize = 4;
/// Beats of one connection per heartbeat interval: its agents are spread over them.
const BEATS: usize = 20;

/// A fleet. Dropped, it is gone.
pub(crate) struct Fleet {
    _tasks: JoinSet<()>,
}

impl Fleet {
    /// Registers that many agents and returns when all are.
    ///
    /// # Errors
    /// What the server says to the first that it refuses.
    pub(crate) async fn register(rig: &Rig, count: usize) -> Result<Self, String> {
        let mut tasks = JoinSet::new();
        let mut numbers = (0..count).collect::<Vec<_>>();
        let mut connections = JoinSet::new();
        while !numbers.is_empty() {
            let mine = numbers.split_off(numbers.len().saturating_sub(PER_CONNECTION));
            let (endpoint, token) = (rig.endpoint(), rig.token().to_owned());
            connections.spawn(async move {
                let channel = endpoint.connect().await.map_err(|error| error.to_string())?;
                connection(channel, &token, mine).await
            });
        }
        while let Some(done) = connections.join_next().await {
            let done: Connection = done.map_err(|error| error.to_string())??;
            tasks.spawn(done.beat());
        }
        Ok(Self { _tasks: tasks })
    }
}

/// The agents of one connection.
struct Connection {
    agents: Vec<mpsc::Sender<v1::AgentMessage>>,
    heartbeat: Duration,
    readers: JoinSet<()>,
}

impl Connection {
    /// Sends every agent's heartbeat once per interval, spread over it.
    async fn beat(self) {
        let _readers = self.readers;
        let mut ticks = tokio::time::interval(self.heartbeat / BEATS as u32);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut beat = 0;
        loop {
            ticks.tick().await;
            for agent in self.agents.iter().skip(beat % BEATS).step_by(BEATS) {
                let heartbeat = v1::Heartbeat { boottime_ms: boottime().0, fenced: false };
                let message = v1::AgentMessage { kind: Some(agent_message::Kind::Heartbeat(heartbeat)) };
                // A full queue holds a heartbeat that says the same.
                agent.try_send(message).ok();
            }
            beat += 1;
        }
    }
}

async fn connection(channel: Channel, token: &str, numbers: Vec<usize>) -> Result<Connection, String> {
    use futures::StreamExt as _;
    let begun = numbers.into_iter().map(|number| register(AgentClient::new(channel.clone()), token, number));
    let begun: Vec<_> = futures::stream::iter(begun).buffer_unordered(REGISTERING).collect().await;
    let mut connection =
        Connection { agents: Vec::new(), heartbeat: Duration::from_secs(1), readers: JoinSet::new() };
    for agent in begun {
        let (up, mut down, heartbeat) = agent?;
        connection.heartbeat = heartbeat;
        connection.agents.push(up);
        connection.readers.spawn(async move { while let Ok(Some(_)) = down.message().await {} });
    }
    Ok(connection)
}

type Opened = (mpsc::Sender<v1::AgentMessage>, tonic::Streaming<v1::ServerMessage>, Duration);

async fn register(mut client: AgentClient<Channel>, token: &str, number: usize) -> Result<Opened, String> {
    let (up, messages) = mpsc::channel(QUEUED);
    let opened = client.session(with_token(ReceiverStream::new(messages), token)).await;
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
            Ok((up, down, Duration::from_millis(registered.heartbeat_ms)))
        }
        other => Err(format!("agent {number} was answered with {other:?}")),
    }
}
