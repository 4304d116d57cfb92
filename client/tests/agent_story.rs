//! Goal: an agent runs real processes for servers, and its own end touches none of them.
//! Method: a real keeper, an agent, and a server in this process that wants the same set in every session.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::agent::{Agent, Config, Handle};
use client::allocs::view::View;
use client::driver::process::Processes;
use client::keeper::{self, Choice};
use client::tasks::user::DefaultUser;
use proto::ids::AllocId;
use proto::model::{AllocState, EndReason};
use proto::wire::v1::agent_server::{Agent as Service, AgentServer};
use proto::wire::v1::{self, AgentMessage, LogsDown, LogsUp, ServerMessage, server_message::Kind};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    // Before any thread exists; it ends what it runs soon after this process.
    let keeper = keeper::ensure(&keeper::Config {
        data_dir: dir.path().to_owned(),
        end_with_agent: Some(Duration::from_millis(500)),
        cgroups: Choice::Auto,
        remove_at_end: Vec::new(),
    })
    .expect("a keeper starts");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(story(dir.path(), &keeper));
}

async fn story(dir: &Path, keeper: &keeper::Connector) {
    let server = serve(vec![
        assignment(
            1,
            v1::JobType::Service,
            "echo up $MINIJOB_ALLOC_INDEX $MINIJOB_PORT_HTTP; exec sleep 1000",
        ),
        assignment(2, v1::JobType::Batch, "echo no database >&2; exit 7"),
        missing_program(3),
        assignment(4, v1::JobType::Service, "trap '' TERM; while :; do sleep 1; done"),
        as_nobody(assignment(5, v1::JobType::Batch, "id -un >whoami && echo shared >$MINIJOB_ALLOC_DIR/x")),
    ])
    .await;
    let agent = start(dir, keeper, &server).await;

    let first = until(&agent, 1, |view| view.status.state == AllocState::Running).await;
    let pid = first.status.tasks[0].pid;
    assert_eq!(first.status.tasks[0].attempt, 1);
    let log = dir.join("allocs").join(AllocId(1).to_string()).join("logs");
    until_text(&log, "up 3 20001\n").await;
    let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("it runs");
    let foreign = environment.split(|byte| *byte == 0).filter(|one| one.starts_with(b"CARGO"));
    assert_eq!(foreign.count(), 0, "the agent's own environment reached a task");

    let failed = until(&agent, 2, |view| view.status.state.has_ended()).await;
    let end = failed.status.tasks[0].last_end.as_ref().expect("it ended");
    assert_eq!((failed.status.state, &end.reason), (AllocState::Failed, &EndReason::Exit(7)));
    assert!(end.tail.contains("no database"), "{end:?}");

    let missing = until(&agent, 3, |view| view.status.state.has_ended()).await;
    let reason = missing.status.tasks[0].last_end.as_ref().expect("it ended").reason.to_string();
    assert!(reason.contains("/no/such/program"), "{reason}");

    if is_root() {
        let nobody = until(&agent, 5, |view| view.status.state.has_ended()).await;
        assert_eq!(nobody.status.state, AllocState::Complete, "{:?}", nobody.status);
        let folder = dir.join("allocs").join(AllocId(5).to_string());
        assert_eq!(std::fs::read_to_string(folder.join("tasks/main/whoami")).expect("written"), "nobody\n");
    }

    // The agent goes and comes back: nobody noticed.
    until(&agent, 4, |view| view.status.state == AllocState::Running).await;
    agent.stop().await;
    let agent = start(dir, keeper, &server).await;
    let again = until(&agent, 1, |view| view.status.state == AllocState::Running).await;
    assert_eq!((again.status.tasks[0].pid, again.status.tasks[0].attempt), (pid, 1));

    tokio::time::timeout(PATIENCE, agent.stop_tasks()).await.expect("all ends").expect("it runs");
    let status = agent.status().await.expect("it runs");
    for id in [1, 4] {
        assert_eq!(status.allocs[&AllocId(id)].status.state, AllocState::Stopped);
    }
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the process is gone");
    agent.stop().await;
}

async fn start(dir: &Path, keeper: &keeper::Connector, server: &str) -> Handle {
    let config = Config {
        name: Some("vm7".into()),
        servers: vec![server.to_owned()],
        default_user: DefaultUser::SameAsAgent,
        allow_root: true,
        ..Config::new(dir.to_owned())
    };
    Agent::start(config, Arc::new(Processes::new(keeper))).await.expect("it starts")
}

async fn until(agent: &Handle, id: u64, holds: impl Fn(&View) -> bool) -> View {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = agent.status().await.expect("it runs");
        let view = status.allocs.get(&AllocId(id));
        if let Some(view) = view.filter(|view| holds(view)) {
            return view.clone();
        }
        assert!(Instant::now() < deadline, "allocation {id} is {view:?}, the link {:?}", status.link);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_text(folder: &Path, wanted: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(folder.join("main.stdout.0")).unwrap_or_default();
        if text == wanted {
            return;
        }
        let there: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().collect();
        assert!(Instant::now() < deadline, "{folder:?} has {there:?}, the text is {text:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn assignment(id: u64, kind: v1::JobType, script: &str) -> v1::Assignment {
    let task = v1::Task {
        process: Some(v1::Process {
            command: "sh".into(),
            args: vec!["-c".into(), script.into()],
            ..Default::default()
        }),
        resources: Some(v1::Resources { cpu_millis: 50, memory_bytes: 32 << 20 }),
        stop_signal: 15,
        stop_timeout_ms: 500,
        logs: Some(v1::Logs { max_files: 2, max_file_bytes: 1 << 20, ..Default::default() }),
        ..Default::default()
    };
    let restart = v1::Restart {
        attempts: Some(0),
        interval_ms: Some(60_000),
        delay_ms: 100,
        backoff: v1::Backoff::Constant.into(),
        max_delay_ms: 1000,
        jitter_percent: 0,
        on_exhausted: v1::OnExhausted::Move.into(),
        ..Default::default()
    };
    let reschedule = v1::Reschedule { backoff: v1::Backoff::Constant.into(), ..Default::default() };
    let group = v1::Group {
        count: 1,
        tasks: [("main".to_owned(), task)].into(),
        restart: Some(restart),
        reschedule: Some(reschedule),
        ..Default::default()
    };
    let spec = v1::AllocSpec {
        namespace: "default".into(),
        job: format!("job-{id}"),
        version: 1,
        group: "main".into(),
        index: 3,
        r#type: kind.into(),
        spec: Some(group),
        ports: [("http".to_owned(), 20_001)].into(),
        ..Default::default()
    };
    v1::Assignment { alloc_id: id, order: v1::Order::Run.into(), spec: Some(spec) }
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

fn as_nobody(mut assignment: v1::Assignment) -> v1::Assignment {
    let group = assignment.spec.as_mut().and_then(|spec| spec.spec.as_mut()).expect("it has one");
    let task = group.tasks.get_mut("main").expect("it is there");
    task.process.as_mut().expect("it has one").user = "nobody".into();
    assignment
}

fn missing_program(id: u64) -> v1::Assignment {
    let mut assignment = assignment(id, v1::JobType::Service, "");
    let group = assignment.spec.as_mut().and_then(|spec| spec.spec.as_mut()).expect("it has one");
    let task = group.tasks.get_mut("main").expect("it is there");
    task.process.as_mut().expect("it has one").command = "/no/such/program".into();
    assignment
}

struct Wanting(Vec<v1::Assignment>);

async fn serve(assignments: Vec<v1::Assignment>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has one").to_string();
    let service = AgentServer::new(Wanting(assignments));
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

#[tonic::async_trait]
impl Service for Wanting {
    type SessionStream = ReceiverStream<Result<ServerMessage, Status>>;
    type ExecStream = ReceiverStream<Result<v1::ExecInput, Status>>;
    type LogsStream = ReceiverStream<Result<LogsDown, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        use v1::agent_message::Kind as Up;
        let mut up = request.into_inner();
        let (down, stream) = mpsc::channel(16);
        let position = Some(v1::Position { incarnation: 7, reign: 1, revision: 1 });
        let set = v1::CompleteSet { position, assignments: self.0.clone(), released: vec![], more: false };
        tokio::spawn(async move {
            let hello = Kind::Hello(v1::Hello { revision: 1 });
            let _ = down.send(Ok(ServerMessage { kind: Some(hello) })).await;
            while let Ok(Some(message)) = up.message().await {
                let answers = match message.kind {
                    Some(Up::Register(_)) => {
                        let registered = v1::Registered {
                            position,
                            previous_incarnation: 0,
                            heartbeat_ms: 100,
                            node_timeout_ms: 4000,
                        };
                        vec![Kind::Registered(registered), Kind::Complete(set.clone())]
                    }
                    Some(Up::Heartbeat(beat)) => {
                        vec![Kind::HeartbeatAck(v1::HeartbeatAck {
                            boottime_ms: beat.boottime_ms,
                            ..Default::default()
                        })]
                    }
                    Some(Up::Status(batch)) => vec![Kind::StatusAck(v1::StatusAck { batch: batch.batch })],
                    _ => vec![],
                };
                for kind in answers {
                    if down.send(Ok(ServerMessage { kind: Some(kind) })).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn exec(&self, _: Request<Streaming<v1::ExecUp>>) -> Result<Response<Self::ExecStream>, Status> {
        Err(Status::unimplemented("no commands are asked for here"))
    }

    async fn logs(&self, _: Request<Streaming<LogsUp>>) -> Result<Response<Self::LogsStream>, Status> {
        Err(Status::unimplemented("no logs are asked for here"))
    }
}
