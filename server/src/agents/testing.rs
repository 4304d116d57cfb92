//! A scripted agent: speaks the wire contract over a real connection and does what a test tells it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use proto::model::{AllocState, AllocStatus, NodeIdentity, TaskPhase, TaskStatus};
use proto::time::boottime;
use proto::wire::v1::agent_client::AgentClient;
use proto::wire::v1::{self, agent_message, server_message};
use proto::wire::{WIRE_VERSION, agent, job, status};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

/// How long a test waits for a message before it fails.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a server is reached, and what lets one in.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) addr: SocketAddr,
    pub(crate) token: String,
}

impl Door {
    /// Adds the token to a request.
    pub(crate) fn request<T>(&self, body: T) -> Request<T> {
        let mut request = Request::new(body);
        let bearer = format!("Bearer {}", self.token).parse().expect("a token is visible characters");
        request.metadata_mut().insert("authorization", bearer);
        request
    }
}

pub(crate) struct Agent {
    pub(crate) door: Door,
    pub(crate) identity: NodeIdentity,
    pub(crate) registered: v1::Registered,
    /// Every assignment and release heard, the newest order of each.
    pub(crate) orders: BTreeMap<u64, v1::Assignment>,
    pub(crate) released: Vec<u64>,
    pub(crate) acks: Vec<u64>,
    pub(crate) asked_for_logs: Vec<v1::OpenLogs>,
    pub(crate) asked_to_exec: Vec<v1::OpenExec>,
    pub(crate) asked: Vec<v1::Ask>,
    pub(crate) base: u64,
    pub(crate) client: AgentClient<Channel>,
    up: mpsc::Sender<v1::AgentMessage>,
    down: Streaming<v1::ServerMessage>,
    heart: Option<AbortHandle>,
    seq: u64,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.fall_silent();
    }
}

impl Agent {
    /// Registers with what it holds and waits for the complete set.
    pub(crate) async fn register(
        door: &Door,
        identity: NodeIdentity,
        held: Vec<v1::Held>,
    ) -> Result<Self, Status> {
        Self::register_from(door, identity, held, None).await
    }

    /// Registers as one that has seen a cluster up to a position.
    pub(crate) async fn register_from(
        door: &Door,
        identity: NodeIdentity,
        held: Vec<v1::Held>,
        position: Option<v1::Position>,
    ) -> Result<Self, Status> {
        let (up, mut down, client) = connect(door).await;
        let Some(server_message::Kind::Hello(hello)) = next(&mut down).await? else {
            panic!("a server says hello first")
        };
        let register = v1::Register {
            wire: WIRE_VERSION,
            identity: Some(agent::identity_to_wire(&identity)),
            held,
            position,
            seen: hello.revision,
        };
        send(&up, agent_message::Kind::Register(register)).await;
        let Some(server_message::Kind::Registered(registered)) = next(&mut down).await? else {
            panic!("a registration is answered first")
        };
        let mut agent = Self {
            door: door.clone(),
            identity,
            registered,
            orders: BTreeMap::new(),
            released: Vec::new(),
            acks: Vec::new(),
            asked_for_logs: Vec::new(),
            asked_to_exec: Vec::new(),
            asked: Vec::new(),
            base: 0,
            client,
            up,
            down,
            heart: None,
            seq: 0,
        };
        agent.hear().await?;
        assert_ne!(agent.base, 0, "the complete set follows");
        agent.beat();
        Ok(agent)
    }

    /// Begins to send heartbeats.
    fn beat(&mut self) {
        let (up, every) = (self.up.clone(), Duration::from_millis(self.registered.heartbeat_ms));
        let beating = tokio::spawn(async move {
            loop {
                let heartbeat = v1::Heartbeat { boottime_ms: boottime().0, fenced: false };
                let message = v1::AgentMessage { kind: Some(agent_message::Kind::Heartbeat(heartbeat)) };
                if up.send(message).await.is_err() {
                    return;
                }
                tokio::time::sleep(every).await;
            }
        });
        self.heart = Some(beating.abort_handle());
    }

    /// Sends no heartbeats any more; the connection stays.
    pub(crate) fn fall_silent(&mut self) {
        self.heart.take().inspect(AbortHandle::abort);
    }

    /// Takes in one message that is no answer to a heartbeat.
    pub(crate) async fn hear(&mut self) -> Result<(), Status> {
        loop {
            match next(&mut self.down).await? {
                Some(server_message::Kind::HeartbeatAck(_)) => continue,
                Some(server_message::Kind::Complete(set)) => {
                    self.take_in(set.position, set.assignments, set.released);
                }
                Some(server_message::Kind::Increment(step)) => {
                    assert_eq!(step.base, self.base, "an increment builds on the set before it");
                    self.take_in(step.position, step.assignments, step.released);
                }
                Some(server_message::Kind::StatusAck(ack)) => self.acks.push(ack.batch),
                Some(server_message::Kind::OpenLogs(ask)) => self.asked_for_logs.push(ask),
                Some(server_message::Kind::OpenExec(ask)) => self.asked_to_exec.push(ask),
                Some(server_message::Kind::Ask(ask)) => self.asked.push(ask),
                other => panic!("unexpected: {other:?}"),
            }
            return Ok(());
        }
    }

    fn take_in(&mut self, position: Option<v1::Position>, orders: Vec<v1::Assignment>, released: Vec<u64>) {
        let position = position.expect("every set has a position");
        let registered = self.registered.position.expect("so has the registration");
        assert_eq!(position.incarnation, registered.incarnation);
        self.base = position.revision;
        self.orders.extend(orders.into_iter().map(|order| (order.alloc_id, order)));
        for id in &released {
            self.orders.remove(id);
        }
        self.released.extend(released);
    }

    /// Hears messages until something is so.
    pub(crate) async fn hear_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            if let Err(status) = self.hear().await {
                panic!("waiting until {what}: {status}; orders: {:?}", self.orders);
            }
        }
    }

    /// Hears messages until the session ends, and returns how.
    pub(crate) async fn hear_the_end(&mut self) -> Status {
        loop {
            if let Err(status) = self.hear().await {
                return status;
            }
        }
    }

    /// Allocations that are to run here.
    pub(crate) fn to_run(&self) -> Vec<u64> {
        let runs = self.orders.values().filter(|order| order.order() == v1::Order::Run);
        runs.map(|order| order.alloc_id).collect()
    }

    /// Allocations that are to end here.
    pub(crate) fn to_stop(&self) -> Vec<u64> {
        let stops = self.orders.values().filter(|order| order.order() == v1::Order::Stop);
        stops.map(|order| order.alloc_id).collect()
    }

    /// Reports allocations in one batch, and returns the batch's number.
    pub(crate) async fn report(&mut self, ids: &[u64], state: AllocState) -> u64 {
        let statuses = ids.iter().map(|id| self.status(*id, state)).collect();
        let batch = self.seq;
        self.send(agent_message::Kind::Status(v1::StatusBatch { batch, statuses })).await;
        batch
    }

    fn status(&mut self, id: u64, state: AllocState) -> v1::AllocStatus {
        self.seq += 1;
        status::to_wire(&observed(id, self.seq, state))
    }

    pub(crate) async fn send(&self, kind: agent_message::Kind) {
        send(&self.up, kind).await;
    }

    /// What it would hold of an allocation that was placed by the servers it talks to.
    pub(crate) fn held(&self, id: u64, state: AllocState) -> v1::Held {
        let resources = proto::model::Resources { cpu_millis: 100, memory_bytes: 64 << 20 };
        v1::Held {
            incarnation: self.registered.position.map_or(0, |position| position.incarnation),
            status: Some(status::to_wire(&observed(id, 1, state))),
            resources: Some(job::resources_to_wire(resources)),
        }
    }
}

/// Opens a control stream and says nothing yet.
pub(crate) async fn connect(
    door: &Door,
) -> (mpsc::Sender<v1::AgentMessage>, Streaming<v1::ServerMessage>, AgentClient<Channel>) {
    let mut client = AgentClient::connect(format!("http://{}", door.addr)).await.expect("the server listens");
    let (up, messages) = mpsc::channel(16);
    let down = client.session(door.request(ReceiverStream::new(messages))).await.expect("the stream opens");
    (up, down.into_inner(), client)
}

pub(crate) async fn send(up: &mpsc::Sender<v1::AgentMessage>, kind: agent_message::Kind) {
    // A closed stream is seen where the answer is missed.
    up.send(v1::AgentMessage { kind: Some(kind) }).await.ok();
}

/// The next message; none when the stream ends in order.
pub(crate) async fn next(
    down: &mut Streaming<v1::ServerMessage>,
) -> Result<Option<server_message::Kind>, Status> {
    let message = timeout(PATIENCE, down.message()).await.expect("a message comes in time")?;
    let message = message.ok_or_else(|| Status::cancelled("the stream ended"))?;
    Ok(message.kind)
}

fn observed(id: u64, seq: u64, state: AllocState) -> AllocStatus {
    let phase = if state.has_ended() { TaskPhase::Ended } else { TaskPhase::Running };
    let task = TaskStatus {
        name: "web".into(),
        phase,
        attempt: 1,
        window_try: 1,
        window_tries: None,
        pid: 42,
        started_at: None,
        last_end: None,
    };
    AllocStatus { id: proto::ids::AllocId(id), seq, state, tasks: vec![task] }
}
