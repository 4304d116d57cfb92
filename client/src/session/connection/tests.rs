//! Sessions against a server in this process that does what each test tells it to.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use proto::ids::AllocId;
use proto::model::{AllocState, JobType, Resources};
use proto::wire::v1::agent_server::{Agent as Service, AgentServer};
use proto::wire::v1::{AgentMessage, LogsDown, LogsUp};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::*;
use crate::agent::{Agent, Config, Handle};
use crate::core::spec;
use crate::driver::mock::Mock;
use crate::driver::{AttemptId, Driver, StartSpec};
use crate::tasks::user::DefaultUser;

/// Nothing on loopback takes this long.
const PATIENCE: Duration = Duration::from_secs(20);
const CLUSTER: u64 = 77;

/// One session as the server sees it.
struct Peer {
    token: Option<String>,
    up: Streaming<AgentMessage>,
    down: mpsc::Sender<Result<ServerMessage, Status>>,
}

struct Scripted {
    sessions: mpsc::Sender<Peer>,
    logs: mpsc::Sender<Streaming<LogsUp>>,
    execs: mpsc::Sender<ExecPeer>,
}

/// A command as the server sees it: what comes from it, and what goes to it.
type ExecPeer = (Streaming<v1::ExecUp>, mpsc::Sender<Result<v1::ExecInput, Status>>);

#[tonic::async_trait]
impl Service for Scripted {
    type SessionStream = ReceiverStream<Result<ServerMessage, Status>>;
    type LogsStream = ReceiverStream<Result<LogsDown, Status>>;
    type ExecStream = ReceiverStream<Result<v1::ExecInput, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let token = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = token.map(str::to_owned);
        let (down, stream) = mpsc::channel(16);
        let peer = Peer { token, up: request.into_inner(), down };
        self.sessions.send(peer).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn logs(&self, request: Request<Streaming<LogsUp>>) -> Result<Response<Self::LogsStream>, Status> {
        self.logs.send(request.into_inner()).await.map_err(|_| Status::unavailable("the test is over"))?;
        let (open, stream) = mpsc::channel(1);
        // Kept open until the agent has sent everything.
        tokio::spawn(async move { open.closed().await });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn exec(
        &self,
        request: Request<Streaming<v1::ExecUp>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        let (down, stream) = mpsc::channel(1);
        let taken = self.execs.send((request.into_inner(), down)).await;
        taken.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

struct Server {
    address: SocketAddr,
    sessions: mpsc::Receiver<Peer>,
    logs: mpsc::Receiver<Streaming<LogsUp>>,
    execs: mpsc::Receiver<ExecPeer>,
}

impl Server {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has one");
        let (sessions, accepted) = mpsc::channel(16);
        let (logs, log_streams) = mpsc::channel(16);
        let (execs, exec_streams) = mpsc::channel(64);
        let service = AgentServer::new(Scripted { sessions, logs, execs });
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self { address, sessions: accepted, logs: log_streams, execs: exec_streams }
    }

    async fn session(&mut self) -> (Peer, v1::Register) {
        let mut peer = within(self.sessions.recv(), "a session").await.expect("the server lives");
        peer.say(Down::Hello(v1::Hello { revision: 11 })).await;
        match peer.next("a registration").await {
            Up::Register(register) => (peer, register),
            other => panic!("the first message is {other:?}"),
        }
    }

    /// Accepts a session and registers it at this position.
    async fn registered(&mut self, reign: u64, revision: u64) -> (Peer, v1::Register) {
        let (peer, register) = self.session().await;
        peer.register(CLUSTER, 0, reign, revision).await;
        (peer, register)
    }
}

impl Peer {
    async fn next(&mut self, what: &str) -> Up {
        loop {
            let message = within(self.up.message(), what).await.expect("the agent speaks");
            match message.expect("the agent goes on speaking").kind.expect("it says something") {
                Up::Heartbeat(_) if what != "a heartbeat" => {}
                kind => return kind,
            }
        }
    }

    async fn say(&self, kind: Down) {
        self.down.send(Ok(ServerMessage { kind: Some(kind) })).await.expect("the agent listens");
    }

    async fn register(&self, cluster: u64, previous_incarnation: u64, reign: u64, revision: u64) {
        self.say(Down::Registered(v1::Registered {
            position: at(cluster, reign, revision),
            previous_incarnation,
            heartbeat_ms: 50,
            node_timeout_ms: 30_000,
        }))
        .await;
    }

    async fn complete(&self, reign: u64, revision: u64, assignments: Vec<v1::Assignment>) {
        let position = at(CLUSTER, reign, revision);
        self.say(Down::Complete(v1::CompleteSet { position, assignments, released: vec![], more: false }))
            .await;
    }

    async fn increment(&self, base: u64, revision: u64, assignments: Vec<v1::Assignment>) {
        let position = at(CLUSTER, 1, revision);
        self.say(Down::Increment(v1::Increment { position, base, assignments, released: vec![] })).await;
    }

    /// Reads statuses, without acknowledging them, until one holds.
    async fn status(&mut self, what: &str, holds: impl Fn(&v1::AllocStatus) -> bool) -> u64 {
        loop {
            if let Up::Status(batch) = self.next(what).await
                && batch.statuses.iter().any(&holds)
            {
                return batch.batch;
            }
        }
    }
}

async fn within<T>(work: impl Future<Output = T>, what: &str) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("{what} never came"),
    }
}

fn at(incarnation: u64, reign: u64, revision: u64) -> Option<v1::Position> {
    Some(v1::Position { incarnation, reign, revision })
}

fn run(id: u64) -> v1::Assignment {
    let mut spec = spec::tests::spec(JobType::Service, &["web"]);
    spec.group.tasks.get_mut("web").expect("it is there").process.args = vec!["run forever".into()];
    v1::Assignment { alloc_id: id, order: v1::Order::Run.into(), spec: Some(spec::to_wire(&spec)) }
}

fn stop(id: u64) -> v1::Assignment {
    v1::Assignment { alloc_id: id, order: v1::Order::Stop.into(), spec: None }
}

fn is_running(status: &v1::AllocStatus) -> bool {
    status.state() == v1::AllocState::Running
}

fn config(dir: &tempfile::TempDir, servers: &[&Server]) -> Config {
    Config {
        name: Some("vm7".into()),
        servers: servers.iter().map(|server| server.address.to_string()).collect(),
        token: Some("s3cret".into()),
        default_user: DefaultUser::SameAsAgent,
        ..Config::new(dir.path().to_owned())
    }
}

async fn agent(dir: &tempfile::TempDir, mock: &Mock, servers: &[&Server]) -> Handle {
    Agent::start(config(dir, servers), Arc::new(mock.clone())).await.expect("it starts")
}

async fn until_state(agent: &Handle, id: u64, state: AllocState) {
    let holds = async {
        loop {
            let status = agent.status().await.expect("it runs");
            if status.allocs.get(&AllocId(id)).is_some_and(|view| view.status.state == state) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(holds, &format!("{state:?}")).await;
}

struct Stage {
    server: Server,
    agent: Handle,
    mock: Mock,
    dir: tempfile::TempDir,
}

async fn stage() -> Stage {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let (server, mock) = (Server::new().await, Mock::default());
    let agent = agent(&dir, &mock, &[&server]).await;
    Stage { server, agent, mock, dir }
}

#[tokio::test]
async fn an_agent_says_who_it_is_and_proves_it_and_beats() {
    let mut stage = stage().await;
    let (mut peer, register) = stage.server.registered(1, 10).await;
    assert_eq!(peer.token.as_deref(), Some("Bearer s3cret"));
    let identity = register.identity.expect("it has one");
    assert_eq!((identity.name.as_str(), identity.node_id), ("vm7", stage.agent.identity().id.0));
    assert_eq!(register.wire, WIRE_VERSION);
    let mut last = 0;
    for _ in 0..3 {
        let Up::Heartbeat(beat) = peer.next("a heartbeat").await else { panic!("no heartbeat") };
        assert!(beat.boottime_ms > last, "time since boot moves on");
        last = beat.boottime_ms;
    }
}

#[tokio::test]
async fn a_node_that_changes_says_so_at_once_and_one_that_does_not_keeps_its_session() {
    let mut stage = stage().await;
    let (mut peer, first) = stage.server.registered(1, 10).await;
    let mut changed = config(&stage.dir, &[&stage.server]);
    stage.agent.adopt(&changed);
    for _ in 0..3 {
        assert!(matches!(peer.next("a heartbeat").await, Up::Heartbeat(_)), "the session goes on");
    }
    changed.meta.insert("rack".into(), "r1".into());
    changed.reserve = Resources { cpu_millis: 300, memory_bytes: 1 << 20 };
    changed.volumes.named.insert("pg".into(), "/srv/pg".into());
    stage.agent.adopt(&changed);
    let (_peer, second) = stage.server.registered(1, 10).await;
    let (first, second) = (first.identity.expect("it has one"), second.identity.expect("it has one"));
    assert_eq!((&second.name, second.node_id), (&first.name, first.node_id));
    assert_eq!(
        (second.attributes["meta.rack"].as_str(), second.attributes["volume.pg"].as_str()),
        ("r1", "1")
    );
    let (before, after) = (first.capacity.expect("told"), second.capacity.expect("told"));
    assert_eq!(before.cpu_millis - after.cpu_millis, 300);
    assert_eq!(before.memory_bytes - after.memory_bytes, 1 << 20);
}

#[tokio::test]
async fn an_agent_beats_as_the_last_answer_to_a_heartbeat_says() {
    let mut stage = stage().await;
    let (mut peer, _) = stage.server.registered(1, 10).await;
    let ack = |heartbeat_ms| {
        Down::HeartbeatAck(v1::HeartbeatAck {
            boottime_ms: 1,
            heartbeat_ms,
            node_timeout_ms: 3 * heartbeat_ms,
        })
    };
    peer.say(ack(60_000)).await;
    let silence =
        async { while tokio::time::timeout(Duration::from_millis(500), peer.up.message()).await.is_ok() {} };
    within(silence, "it stops beating every 50 ms").await;
    // An older server says nothing of it.
    peer.say(ack(0)).await;
    peer.say(ack(50)).await;
    for _ in 0..3 {
        assert!(matches!(peer.next("a heartbeat").await, Up::Heartbeat(_)));
    }
}

#[tokio::test]
async fn what_is_found_to_run_without_a_record_is_told_at_once() {
    let mut server = Server::new().await;
    let (dir, mock) = (tempfile::tempdir().expect("a scratch folder"), Mock::default());
    let often = Config { sweep_every: Duration::from_millis(50), ..config(&dir, &[&server]) };
    let agent = Agent::start(often, Arc::new(mock.clone())).await.expect("it starts");
    let (peer, _) = server.registered(1, 10).await;
    peer.complete(1, 11, vec![run(1)]).await;
    until_state(&agent, 1, AllocState::Running).await;
    let id = AttemptId { alloc: 9, task: "web".into(), attempt: 1 };
    let foreign = StartSpec { args: vec!["run forever".into()], ..StartSpec::new(id, "web", dir.path()) };
    mock.start(foreign).await.expect("it answers").expect("it starts");
    let (mut peer, register) = server.registered(1, 11).await;
    let held: BTreeSet<u64> =
        register.held.iter().flat_map(|held| &held.status).map(|status| status.id).collect();
    assert_eq!(held, [1, 9].into());
    // It is told once: this session goes on.
    let mut beats = 0;
    while beats < 5 {
        beats += usize::from(matches!(peer.next("a heartbeat").await, Up::Heartbeat(_)));
    }
}

#[tokio::test]
async fn what_was_never_acknowledged_is_sent_again_in_the_next_session() {
    let mut stage = stage().await;
    let (mut peer, _) = stage.server.registered(1, 10).await;
    peer.complete(1, 10, vec![run(5)]).await;
    peer.status("running", is_running).await;
    drop(peer);

    let (mut peer, register) = stage.server.registered(1, 11).await;
    let held = register.held[0].status.as_ref().expect("it has one");
    assert_eq!((held.id, held.state(), register.held[0].incarnation), (5, v1::AllocState::Running, CLUSTER));
    let batch = peer.status("running again", is_running).await;
    peer.say(Down::StatusAck(v1::StatusAck { batch })).await;
    drop(peer);

    let (mut peer, _) = stage.server.registered(1, 12).await;
    peer.complete(1, 12, vec![run(6)]).await;
    loop {
        let Up::Status(batch) = peer.next("a status").await else { continue };
        assert!(batch.statuses.iter().all(|status| status.id == 6), "5 was acknowledged: {batch:?}");
        if batch.statuses.iter().any(is_running) {
            break;
        }
    }
}

#[tokio::test]
async fn an_increment_on_another_set_makes_the_agent_ask_for_a_complete_one() {
    let mut stage = stage().await;
    let (mut peer, _) = stage.server.registered(1, 10).await;
    peer.complete(1, 10, vec![]).await;
    peer.increment(10, 12, vec![run(1)]).await;
    until_state(&stage.agent, 1, AllocState::Running).await;
    peer.increment(11, 13, vec![run(2)]).await;
    loop {
        match peer.next("a wish for a complete set").await {
            Up::NeedComplete(_) => break,
            Up::Status(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stage.mock.starts().len(), 1, "nothing of it was followed");
    peer.complete(1, 13, vec![run(2)]).await;
    until_state(&stage.agent, 2, AllocState::Running).await;
}

#[tokio::test]
async fn a_server_that_lags_stops_nothing() {
    let mut stage = stage().await;
    let (peer, _) = stage.server.registered(5, 100).await;
    peer.complete(5, 100, vec![run(1)]).await;
    until_state(&stage.agent, 1, AllocState::Running).await;
    drop(peer);

    // Restored from an old copy: the order is real, and older than what the agent has seen.
    let (peer, register) = stage.server.registered(4, 90).await;
    assert_eq!(register.position, at(CLUSTER, 5, 100));
    peer.complete(4, 90, vec![stop(1)]).await;
    peer.complete(5, 99, vec![stop(1)]).await;
    // Caught up: what comes after it is followed, and shows that what came before was read.
    peer.complete(5, 101, vec![run(2)]).await;
    until_state(&stage.agent, 2, AllocState::Running).await;
    until_state(&stage.agent, 1, AllocState::Running).await;
    peer.complete(5, 102, vec![stop(1)]).await;
    until_state(&stage.agent, 1, AllocState::Stopped).await;
}

#[tokio::test]
async fn absence_is_not_a_stop() {
    let mut stage = stage().await;
    let (peer, _) = stage.server.registered(1, 10).await;
    peer.complete(1, 10, vec![run(1)]).await;
    until_state(&stage.agent, 1, AllocState::Running).await;
    peer.complete(1, 11, vec![run(2)]).await;
    until_state(&stage.agent, 2, AllocState::Running).await;
    until_state(&stage.agent, 1, AllocState::Running).await;
}

#[tokio::test]
async fn a_redirect_leads_to_the_leader() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let (mut follower, mut leader) = (Server::new().await, Server::new().await);
    let agent = agent(&dir, &Mock::default(), &[&follower]).await;
    let (peer, _) = follower.session().await;
    peer.say(Down::Redirect(v1::Redirect { leader: leader.address.to_string() })).await;
    let (peer, _) = leader.registered(1, 10).await;
    peer.complete(1, 10, vec![run(1)]).await;
    until_state(&agent, 1, AllocState::Running).await;
}

#[tokio::test]
async fn servers_of_another_cluster_are_not_followed_unless_they_were_ours() {
    let mut stage = stage().await;
    let (peer, _) = stage.server.registered(1, 10).await;
    peer.complete(1, 10, vec![run(1)]).await;
    until_state(&stage.agent, 1, AllocState::Running).await;
    drop(peer);

    let (mut peer, _) = stage.server.session().await;
    peer.register(88, 66, 9, 900).await;
    let end = within(peer.up.message(), "the end of the session").await;
    assert!(!matches!(end, Ok(Some(_))), "it goes on: {end:?}");

    let (peer, register) = stage.server.session().await;
    assert_eq!(register.held.len(), 1, "what runs goes on");
    peer.register(88, CLUSTER, 2, 3).await;
    let position = at(88, 2, 3);
    let assignments = vec![stop(1)];
    peer.say(Down::Complete(v1::CompleteSet { position, assignments, released: vec![], more: false })).await;
    until_state(&stage.agent, 1, AllocState::Stopped).await;
}

#[tokio::test]
async fn logs_come_on_a_connection_of_their_own() {
    let mut stage = stage().await;
    let (peer, _) = stage.server.registered(1, 10).await;
    peer.complete(1, 10, vec![run(1)]).await;
    until_state(&stage.agent, 1, AllocState::Running).await;
    let folder = stage.dir.path().join("allocs").join(AllocId(1).to_string()).join("logs");
    std::fs::write(folder.join("web.stdout.0"), "one\ntwo\nthree\n").expect("it is written");
    let ask =
        v1::OpenLogs { ticket: 42, alloc_id: 1, task: "web".into(), tail: Some(2), ..Default::default() };
    peer.say(Down::OpenLogs(ask.clone())).await;
    assert_eq!(read_logs(&mut stage.server).await, (42, "two\nthree\n".into(), String::new()));

    peer.say(Down::OpenLogs(v1::OpenLogs { task: "nope".into(), ..ask.clone() })).await;
    let (_, _, error) = read_logs(&mut stage.server).await;
    assert!(error.contains("no task `nope`"), "{error}");

    // Followed: what is written later comes too, until the allocation has ended.
    peer.say(Down::OpenLogs(v1::OpenLogs { follow: true, tail: None, ..ask })).await;
    let mut stream = within(stage.server.logs.recv(), "a log").await.expect("the server lives");
    let mut text = String::new();
    while !text.ends_with("three\n") {
        let message = within(stream.message(), "what there is").await.expect("it goes on").expect("more");
        text += &String::from_utf8_lossy(&message.data);
    }
    std::fs::write(folder.join("web.stdout.1"), "four\n").expect("it is written");
    peer.complete(1, 11, vec![stop(1)]).await;
    while let Some(message) = within(stream.message(), "the rest").await.expect("it goes on") {
        text += &String::from_utf8_lossy(&message.data);
    }
    assert_eq!(text, "one\ntwo\nthree\nfour\n");
}

async fn read_logs(server: &mut Server) -> (u64, String, String) {
    let mut stream = within(server.logs.recv(), "a log").await.expect("the server lives");
    let (mut ticket, mut text, mut error) = (0, String::new(), String::new());
    while let Some(message) = within(stream.message(), "the log").await.expect("it goes on") {
        ticket = ticket.max(message.ticket);
        text += &String::from_utf8_lossy(&message.data);
        error += &message.error;
    }
    (ticket, text, error)
}

#[tokio::test]
async fn an_agent_without_servers_keeps_what_it_has_and_a_new_one_finds_them() {
    let mut stage = stage().await;
    let (peer, _) = stage.server.registered(1, 10).await;
    peer.complete(1, 10, vec![run(1)]).await;
    until_state(&stage.agent, 1, AllocState::Running).await;
    stage.agent.stop().await;
    drop(peer);
    let again = agent(&stage.dir, &stage.mock, &[&stage.server]).await;
    let (_peer, register) = stage.server.session().await;
    assert_eq!(register.held.len(), 1);
    assert_eq!(register.position, at(CLUSTER, 1, 10));
    until_state(&again, 1, AllocState::Running).await;
    assert_eq!(stage.mock.starts().len(), 1, "nothing was started again");
}

mod reach;

#[test]
fn a_server_that_says_nothing_is_given_up_while_the_next_one_still_waits_for_this_node() {
    let Pace { patience, .. } = Pace::of(1000, 4000);
    let mut route = Route::new(vec!["a".into(), "b".into()]);
    route.succeeded("a", patience);
    route.silent("a");
    let (_, pause) = route.next(u64::MAX).expect("another server");
    let election = Duration::from_millis(600);
    let leaves = (Duration::from_millis(4000) + election).checked_sub(patience + pause);
    assert!(
        leaves.is_some_and(|left| left >= Duration::from_millis(500)),
        "time to be redirected and to register: {leaves:?}"
    );
}
