//! A whole server in this process, and scripted agents over real connections.

use std::time::Duration;

use proto::ids::{JobKey, NodeId, RequestId, Revision, random_request_id};
use proto::model::{AllocState, Liveness};
use proto::wire::v1::{self, agent_message, server_message};

use super::*;
use crate::agents::LogsSpec;
use crate::agents::testing::{self, Agent, Door};
use crate::core::state::{Kind, Outcome, Plan, State};
use crate::core::testing::{job, node_identity};

const NODE_TIMEOUT: Duration = Duration::from_millis(600);
const PATIENCE: Duration = Duration::from_secs(5);

/// A server on a directory of its own.
struct Served {
    dir: tempfile::TempDir,
    server: Handle,
}

impl Served {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = serve_at(dir.path()).await;
        Self { dir, server }
    }

    async fn restart(self) -> Self {
        let Self { dir, server } = self;
        server.stop().await;
        let server = serve_at(dir.path()).await;
        Self { dir, server }
    }

    fn door(&self) -> Door {
        Door { addr: self.server.addr(), token: self.server.token().to_owned() }
    }

    async fn agent(&self, number: u64) -> Agent {
        Agent::register(&self.door(), node_identity(number), vec![]).await.expect("it may register")
    }

    async fn put(&self, name: &str, count: u32) -> Revision {
        let kind = Kind::PutJob { job: Box::new(job(name, count)), expected: None, message: String::new() };
        match self.server.cluster().write("test", random_request_id(), kind).await {
            Ok(Outcome::Written { revision, .. }) => revision,
            other => panic!("{other:?}"),
        }
    }

    fn state(&self) -> std::sync::Arc<State> {
        self.server.cluster().snapshot()
    }

    /// Waits until the state is so; says what it was when the time is over.
    async fn until(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        let mut revisions = self.server.cluster().revisions();
        let reached = async {
            while !is_so(&self.state()) {
                revisions.changed().await.expect("the server lives");
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            let state = self.state();
            let allocs: Vec<_> = state.allocs.iter().map(|(_, alloc)| alloc).collect();
            panic!("not in time: {what}; nodes: {:?}; allocations: {allocs:?}", state.nodes);
        }
    }
}

async fn serve_at(dir: &std::path::Path) -> Handle {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let millis = Duration::from_millis;
    let timings = Timings { heartbeat: millis(50), election_min: millis(150), election_max: millis(300) };
    let overrides = Overrides { heartbeat: Some(millis(100)), node_timeout: Some(NODE_TIMEOUT) };
    let config =
        Config { backend: Some(Backend::Segments), timings, overrides, ..Config::new(dir, "s1", listener) };
    let server = start(config).await.expect("the server starts");
    let mut reigns = server.cluster().reigns();
    let leads = tokio::time::timeout(PATIENCE, reigns.wait_for(Option::is_some));
    leads.await.expect("it leads in time").expect("it lives");
    server
}

fn active(state: &State) -> Vec<(u32, NodeId)> {
    let mut active: Vec<_> = state
        .allocs
        .iter()
        .filter(|(_, alloc)| alloc.is_active())
        .map(|(_, alloc)| (alloc.index, alloc.node))
        .collect();
    active.sort_unstable();
    active
}

fn key(name: &str) -> JobKey {
    JobKey::new("default", name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_placed_on_all_nodes_and_their_agents_are_told() {
    let served = Served::start().await;
    let (mut one, mut two) = (served.agent(1).await, served.agent(2).await);
    assert!(one.to_run().is_empty(), "nothing is wanted yet");
    let revision = served.put("web", 3).await;
    let considered = served.server.cluster().considered(&key("web"), revision, Duration::from_secs(1)).await;
    let state = considered.expect("placed within a second");
    let placed = active(&state);
    assert_eq!(placed.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2]);
    let on = |agent: &Agent| placed.iter().filter(|(_, node)| *node == agent.identity.id).count();
    assert!(on(&one) > 0 && on(&two) > 0, "spread over both: {placed:?}");
    for agent in [&mut one, &mut two] {
        let wanted = placed.iter().filter(|(_, node)| *node == agent.identity.id).count();
        agent.hear_until("everything placed here is ordered", |agent| agent.to_run().len() == wanted).await;
        let spec = agent.orders.values().next().and_then(|order| order.spec.clone()).expect("RUN has a spec");
        assert_eq!((spec.job.as_str(), spec.group.as_str(), spec.version), ("web", "web", 1));
        assert_eq!(spec.spec.map(|group| group.tasks.len()), Some(1));
    }
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_report_is_in_the_state() {
    let served = Served::start().await;
    let mut agent = served.agent(1).await;
    served.put("web", 2).await;
    agent.hear_until("both are ordered", |agent| agent.to_run().len() == 2).await;
    let ids = agent.to_run();
    let batch = agent.report(&ids, AllocState::Running).await;
    agent.hear_until("the batch is acknowledged", |agent| agent.acks.contains(&batch)).await;
    let running =
        |state: &State| state.allocs.iter().filter(|(_, alloc)| alloc.state == AllocState::Running).count();
    assert_eq!(running(&served.state()), 2, "acknowledged after it was applied");
    served
        .until("both are believed healthy", |state| state.allocs.iter().all(|(_, alloc)| alloc.healthy))
        .await;
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_job_is_ordered_to_end_and_its_end_is_released() {
    let served = Served::start().await;
    let mut agent = served.agent(1).await;
    served.put("web", 1).await;
    agent.hear_until("it is ordered", |agent| agent.to_run().len() == 1).await;
    let ids = agent.to_run();
    agent.report(&ids, AllocState::Running).await;
    let stop = Kind::StopJob { key: key("web"), purge: false };
    served.server.cluster().write("test", RequestId::default(), stop).await.unwrap();
    agent.hear_until("an order to stop", |agent| agent.to_stop() == ids).await;
    agent.report(&ids, AllocState::Stopped).await;
    agent.hear_until("it may be forgotten", |agent| agent.released == ids).await;
    // The agent has not heard that and says it again.
    agent.report(&ids, AllocState::Stopped).await;
    agent.hear_until("told again", |agent| agent.released.len() == 2).await;
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_session_of_a_node_takes_the_place_of_the_older() {
    let served = Served::start().await;
    let mut older = served.agent(1).await;
    let mut newer = served.agent(1).await;
    assert!(older.hear_the_end().await.message().contains("newer session"), "the older one is closed");
    served.put("web", 1).await;
    newer.hear_until("the newer one is told", |agent| agent.to_run().len() == 1).await;
    assert_eq!(served.server.hub().connected(), 1);
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_of_a_machine_is_refused() {
    let served = Served::start().await;
    let _original = served.agent(1).await;
    let mut identity = node_identity(1);
    identity.machine_id = "another".into();
    let refused = Agent::register(&served.door(), identity, vec![]).await.err().expect("refused");
    assert!(refused.message().contains("cloned VM"), "{refused}");
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_another_cluster_is_refused_before_it_is_known() {
    let served = Served::start().await;
    let first = served.agent(1).await;
    let ours = first.registered.position.expect("it has one");
    let before = served.state().revision;
    let theirs = v1::Position { incarnation: ours.incarnation ^ 1, ..ours };
    for _ in 0..3 {
        let refused = Agent::register_from(&served.door(), node_identity(2), vec![], Some(theirs)).await;
        let refused = proto::error::Error::from(&refused.err().expect("refused"));
        assert!(refused.message.contains("belongs to cluster"), "{}", refused.message);
        assert!(refused.hint.contains("empty data folder"), "{}", refused.hint);
    }
    let state = served.state();
    assert_eq!(state.nodes.len(), 1, "nothing is placed on it");
    assert_eq!(state.revision, before, "and nothing is written for it");
    Agent::register_from(&served.door(), node_identity(2), vec![], Some(ours))
        .await
        .expect("it is one of ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_is_taken_for_lost_and_replaced_elsewhere() {
    let served = Served::start().await;
    let (mut one, mut two) = (served.agent(1).await, served.agent(2).await);
    served.put("web", 2).await;
    one.hear_until("it has its share", |agent| agent.to_run().len() == 1).await;
    let share = one.to_run();
    one.report(&share, AllocState::Running).await;
    one.fall_silent();
    two.hear_until("it has everything", |agent| agent.to_run().len() == 2).await;
    let end = one.hear_the_end().await;
    assert!(end.message().contains("register again"), "its session is closed: {end}");
    let state = served.state();
    let down = state.nodes.get(&one.identity.id).map(|node| node.liveness);
    assert_eq!(down, Some(Liveness::Down));
    assert!(active(&state).iter().all(|(_, node)| *node == two.identity.id), "{:?}", active(&state));
    // It comes back with what it still runs, which has been replaced.
    let held = share.iter().map(|id| one.held(*id, AllocState::Running)).collect();
    let mut back = Agent::register(&served.door(), one.identity.clone(), held).await.unwrap();
    back.hear_until("what was replaced is ordered to stop", |agent| agent.to_stop() == share).await;
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheduler_goes_on_after_a_refused_plan() {
    let served = Served::start().await;
    let mut agent = served.agent(1).await;
    let reign = served.server.cluster().reign().expect("it leads");
    // Somebody numbered a plan far ahead: the scheduler's own next ones come out of order and are refused.
    let ahead = Plan { reign, seq: 1000, ..Plan::default() };
    served.server.cluster().propose(Kind::ApplyPlan(ahead)).await.unwrap();
    served.put("web", 1).await;
    agent.hear_until("it is placed all the same", |agent| agent.to_run().len() == 1).await;
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_has_no_room_is_placed_when_a_node_comes() {
    let served = Served::start().await;
    let revision = served.put("web", 2).await;
    let considered = served.server.cluster().considered(&key("web"), revision, PATIENCE).await;
    assert!(active(&considered.expect("looked at")).is_empty(), "there is no node");
    let mut agent = served.agent(1).await;
    agent.hear_until("everything comes here", |agent| agent.to_run().len() == 2).await;
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_larger_than_a_message_is_told_in_parts() {
    let served = Served::start().await;
    let mut identity = node_identity(1);
    identity.capacity = proto::model::Resources { cpu_millis: 1_000_000, memory_bytes: 1 << 40 };
    let mut agent = Agent::register(&served.door(), identity, vec![]).await.unwrap();
    let mut large = job("web", 600);
    large.meta.insert("text".into(), "x".repeat(2000));
    let kind = Kind::PutJob { job: Box::new(large), expected: None, message: String::new() };
    served.server.cluster().write("test", random_request_id(), kind).await.unwrap();
    agent.hear_until("all are ordered", |agent| agent.to_run().len() == 600).await;
    agent.orders.clear();
    agent.send(agent_message::Kind::NeedComplete(v1::NeedComplete {})).await;
    agent.hear_until("all are told again", |agent| agent.to_run().len() == 600).await;
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_knows_everything_and_places_nothing_twice() {
    let served = Served::start().await;
    let mut agent = served.agent(1).await;
    served.put("web", 3).await;
    agent.hear_until("all are ordered", |agent| agent.to_run().len() == 3).await;
    let ids = agent.to_run();
    let batch = agent.report(&ids, AllocState::Running).await;
    agent.hear_until("reported", |agent| agent.acks.contains(&batch)).await;
    let (before, token) = (served.state(), served.server.token().to_owned());
    let served = served.restart().await;
    assert_eq!(served.server.token(), token);
    served.until("it leads again", |state| state.reign != before.reign).await;
    let held = ids.iter().map(|id| agent.held(*id, AllocState::Running)).collect();
    let mut back = Agent::register(&served.door(), agent.identity.clone(), held).await.unwrap();
    back.hear_until("the same are wanted", |agent| agent.to_run() == ids).await;
    let revision = served.put("other", 1).await;
    served.server.cluster().considered(&key("other"), revision, PATIENCE).await.expect("it schedules");
    let state = served.state();
    assert_eq!(state.allocs.len(), 4, "three as before and one of the other job");
    assert_eq!(state.incarnation, before.incarnation);
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_runs_and_servers_have_forgotten_is_stopped_and_what_they_never_knew_is_kept() {
    let served = Served::start().await;
    let mut agent = served.agent(1).await;
    served.put("web", 2).await;
    agent.hear_until("both are ordered", |agent| agent.to_run().len() == 2).await;
    let mut forgotten = agent.held(agent.to_run()[0], AllocState::Running);
    let unknown = agent.held(1_000_000, AllocState::Running);
    let mut foreign = agent.held(agent.to_run()[1], AllocState::Running);
    foreign.incarnation ^= 1;
    // Another node's agent says that it runs them.
    forgotten.status.as_mut().unwrap().id = 0;
    let held = vec![forgotten, unknown, foreign];
    let other = Agent::register(&served.door(), node_identity(2), held).await.unwrap();
    assert_eq!(other.to_stop(), [0], "only what was numbered in this life and is gone");
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_asks_gets_the_complete_set_again() {
    let served = Served::start().await;
    let mut agent = served.agent(1).await;
    served.put("web", 1).await;
    agent.hear_until("it is ordered", |agent| agent.to_run().len() == 1).await;
    agent.orders.clear();
    agent.send(agent_message::Kind::NeedComplete(v1::NeedComplete {})).await;
    agent.hear_until("it is told again", |agent| agent.to_run().len() == 1).await;
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_read_is_disconnected() {
    let served = Served::start().await;
    served.agent(1).await;
    let agent = served.agent(1).await;
    served.put("web", 30).await;
    served.until("all are placed", |state| state.allocs.len() == 30).await;
    let asking = async {
        while served.server.hub().connected() > 0 {
            agent.send(agent_message::Kind::NeedComplete(v1::NeedComplete {})).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("its queue fills and it is sent away");
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_holds_more_output_than_a_command_may_register() {
    let served = Served::start().await;
    let agent = served.agent(1).await;
    let failed = |id: u64| {
        let mut held = agent.held(id, AllocState::Failed);
        let status = held.status.as_mut().expect("it has one");
        let reason = proto::wire::status::reason_to_wire(&proto::model::EndReason::Exit(1));
        let end = v1::TaskEnd { reason: Some(reason), tail: "x".repeat(4096), ..Default::default() };
        status.tasks[0].last_end = Some(end);
        held
    };
    let held = (1_000_000..1_000_200).map(failed).collect();
    let again = Agent::register(&served.door(), agent.identity.clone(), held).await;
    assert!(again.is_ok(), "{:?}", again.err());
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_the_token_is_refused() {
    let served = Served::start().await;
    let door = Door { token: "0".repeat(32), ..served.door() };
    let mut client = v1::agent_client::AgentClient::connect(format!("http://{}", door.addr)).await.unwrap();
    let refused = client.session(door.request(tokio_stream::pending())).await.expect_err("refused");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_register_first_is_sent_away() {
    let served = Served::start().await;
    let (up, mut down, _client) = testing::connect(&served.door()).await;
    assert!(matches!(testing::next(&mut down).await, Ok(Some(server_message::Kind::Hello(_)))));
    testing::send(&up, agent_message::Kind::NeedComplete(v1::NeedComplete {})).await;
    let end = testing::next(&mut down).await.expect_err("refused");
    assert!(end.message().contains("registers first"), "{end}");
    let (up, mut down, _client) = testing::connect(&served.door()).await;
    assert!(matches!(testing::next(&mut down).await, Ok(Some(server_message::Kind::Hello(_)))));
    testing::send(&up, agent_message::Kind::Register(v1::Register::default())).await;
    let end = testing::next(&mut down).await.expect_err("refused");
    assert!(end.message().contains("wire version 0"), "{end}");
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_comes_on_a_connection_that_the_agent_dials() {
    let served = Served::start().await;
    let mut agent = served.agent(1).await;
    let spec = LogsSpec {
        alloc: proto::ids::AllocId(7),
        task: "web".into(),
        both: false,
        stderr: true,
        follow: true,
        tail: Some(3),
        last: Some(Duration::from_secs(60)),
        since: None,
    };
    let (hub, node) = (served.server.hub().clone(), agent.identity.id);
    let reading = tokio::spawn(async move { hub.open_logs(node, spec).await });
    agent.hear_until("it is asked", |agent| !agent.asked_for_logs.is_empty()).await;
    let ask = agent.asked_for_logs[0].clone();
    assert_eq!((ask.alloc_id, ask.task.as_str(), ask.stderr), (7, "web", true));
    assert_eq!((ask.tail, ask.last_ms), (Some(3), Some(60_000)));
    let (chunks, up) = tokio::sync::mpsc::channel(4);
    let chunk =
        |data: &'static str| v1::LogsUp { ticket: ask.ticket, data: data.into(), ..Default::default() };
    chunks.send(chunk("one\n")).await.unwrap();
    chunks.send(chunk("two\n")).await.unwrap();
    let up = tokio_stream::wrappers::ReceiverStream::new(up);
    let mut dialled = agent.client.clone().logs(agent.door.request(up)).await.unwrap().into_inner();
    let mut output = reading.await.unwrap().expect("the agent dialled");
    assert_eq!(output.recv().await.unwrap().data.as_ref(), b"one\n");
    assert_eq!(output.recv().await.unwrap().data.as_ref(), b"two\n");
    drop(output);
    let end =
        tokio::time::timeout(PATIENCE, dialled.message()).await.expect("the reader's end is the agent's");
    assert!(matches!(end, Ok(None) | Err(_)), "{end:?}");
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_of_a_node_that_is_not_connected_is_unavailable() {
    let served = Served::start().await;
    let spec = LogsSpec {
        alloc: proto::ids::AllocId(7),
        task: "web".into(),
        both: true,
        stderr: false,
        follow: false,
        tail: None,
        last: None,
        since: None,
    };
    let error = served.server.hub().open_logs(NodeId(1), spec).await.expect_err("nobody is there");
    assert_eq!(error.kind, proto::error::Kind::Unavailable);
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_ticket_is_refused() {
    let served = Served::start().await;
    let agent = served.agent(1).await;
    let up = tokio_stream::iter([v1::LogsUp { ticket: 5, ..Default::default() }]);
    let mut dialled = agent.client.clone().logs(agent.door.request(up)).await.unwrap().into_inner();
    assert_eq!(dialled.message().await.expect_err("refused").code(), tonic::Code::NotFound);
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_read_ends_the_server() {
    let served = Served::start().await;
    served.until("it leads", |state| state.reign.is_some()).await;
    let before = served.state().revision;
    let outcome = served.server.cluster().propose_bytes(b"\xff\xff\xff").await;
    assert!(matches!(outcome, Ok(Outcome::Refused(_))), "{outcome:?}");
    let mut fatal = served.server.fatal();
    let reason = tokio::time::timeout(PATIENCE, fatal.wait_for(Option::is_some)).await.expect("it says so");
    assert!(reason.unwrap().as_ref().is_some_and(|reason| reason.contains("cannot read")));
    assert_eq!(served.state().revision, before, "nothing is applied any more");
    served.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_tells_its_agents_and_is_gone_soon() {
    let served = Served::start().await;
    let mut agent = served.agent(1).await;
    let stopping = tokio::time::timeout(PATIENCE, served.server.stop());
    stopping.await.expect("it does not wait for agents");
    assert!(agent.hear_the_end().await.message().contains("stopping"));
}
