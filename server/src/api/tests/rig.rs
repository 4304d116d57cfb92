//! One server in this process: its log in a temporary directory, its leader's loops, its port on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::ids::{NodeId, ServerId, random_u64};
use proto::model::{AllocState, AllocStatus, TaskStatus};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;

use crate::agents::Hub;
use crate::api::{Context, Token, router, serve};
use crate::cluster::{Cluster, Member};
use crate::core::state::{Kind, Outcome};
use crate::leader::{self, Duties, LeaseBook, Overrides};
use crate::metrics::Metrics;
use crate::ops::testing::{identity, running};
use crate::raft;

/// How long anything may take on a machine that builds at the same time.
pub(super) const SOON: Duration = Duration::from_secs(20);

pub(super) struct Rig {
    pub(super) addr: SocketAddr,
    pub(super) token: String,
    pub(super) cluster: Cluster,
    _stop: DropGuard,
    _dir: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Rig {
    /// A server that leads.
    pub(super) async fn leading() -> Self {
        let rig = Self::start(true).await;
        let mut reigns = rig.cluster.reigns();
        let led = timeout(SOON, reigns.wait_for(Option::is_some)).await.expect("a reign in time");
        led.expect("a cluster");
        rig
    }

    /// A server whose leader's loops do not run: there is a log, and nobody reigns.
    pub(super) async fn start(lead: bool) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let id = random_u64();
        let mut config = raft::Config::new(dir.path(), id, &addr.to_string(), "s1");
        config.timings = raft::Timings {
            heartbeat: Duration::from_millis(50),
            election_min: Duration::from_millis(150),
            election_max: Duration::from_millis(300),
        };
        let member = Member { server: ServerId(id), boot_nonce: 1 };
        let cluster = Cluster::start(config, member).await.expect("a log");
        let (stop, leases) = (CancellationToken::new(), LeaseBook::default());
        let hub = Hub::new(cluster.clone(), leases.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(hub.clone().run()));
        if lead {
            // Nodes of these tests have no agent that would renew a lease.
            let overrides =
                Overrides { node_timeout: Some(Duration::from_secs(3600)), ..Overrides::default() };
            let duties = Duties { cluster: cluster.clone(), leases, overrides };
            tokio::spawn(leader::run(duties, cluster.leadership(), stop.clone()));
        }
        let token = Token::random();
        let shown = token.reveal().to_owned();
        let context = Context {
            cluster: cluster.clone(),
            sources: Arc::new(hub.clone()),
            token: Arc::new(token),
            hosts: Arc::new(["s1.example".to_owned()]),
            metrics: Metrics::default(),
        };
        let router = router(context, Routes::new(hub.service()));
        tokio::spawn(serve(listener, router, stop.clone()));
        Self { addr, token: shown, cluster, _stop: stop.drop_guard(), _dir: dir }
    }

    /// Sends bytes on a connection of their own and returns all that comes back until the server closes it.
    pub(super) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addr).await.expect("a connection");
        stream.write_all(bytes).await.ok();
        let mut all = Vec::new();
        // A reset after the answer is an end too.
        timeout(SOON, stream.read_to_end(&mut all)).await.expect("an end in time").ok();
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Sends one HTTP/1.1 request with those lines in its head.
    pub(super) async fn send(&self, request: &str, head: &[&str], body: &str) -> Answer {
        let lines: String = head.iter().map(|line| format!("{line}\r\n")).collect();
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let text = format!("{request} HTTP/1.1\r\nConnection: close\r\n{lines}{length}\r\n{body}");
        let all = self.raw(text.as_bytes()).await;
        let (head, body) = all.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {all:?}"));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { unchunked(body) } else { body.to_owned() };
        Answer { status, head: head.to_owned(), body }
    }

    /// Asks as somebody who may.
    pub(super) async fn ask(&self, request: &str) -> Answer {
        self.send(request, &["Host: localhost", &self.bearer()], "").await
    }

    /// Posts JSON as somebody who may.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        let head = ["Host: localhost", &self.bearer(), "Content-Type: application/json"];
        self.send(&format!("POST {path}"), &head, &body.to_string()).await
    }

    pub(super) fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    /// Registers a node with that number; nobody answers for it.
    pub(super) async fn node(&self, number: u64) {
        let kind = Kind::RegisterNode { identity: identity(number), held: Vec::new() };
        let outcome = self.cluster.propose(kind).await.expect("applied");
        assert!(matches!(outcome, Outcome::Registered { .. }), "{outcome:?}");
    }

    /// Reports every live allocation of a node as running.
    pub(super) async fn all_run(&self, node: u64) {
        let state = self.cluster.snapshot();
        let record = state.nodes.get(&NodeId(node)).expect("the node");
        let live = record.allocs.iter().filter_map(|id| state.allocs.get(*id));
        let status = |alloc: &crate::core::state::Alloc| AllocStatus {
            id: alloc.id,
            seq: 1,
            state: AllocState::Running,
            tasks: alloc_tasks(alloc, &state),
        };
        let statuses = live.map(status).collect();
        let kind = Kind::AllocStatus { node: NodeId(node), generation: record.generation, statuses };
        assert_eq!(self.cluster.propose(kind).await, Ok(Outcome::Done));
    }
}

fn alloc_tasks(alloc: &crate::core::state::Alloc, state: &crate::core::state::State) -> Vec<TaskStatus> {
    let job = &state.jobs.get(&*alloc.job).expect("the job").current().job;
    job.groups[&*alloc.group].tasks.keys().map(|name| running(name, state.now)).collect()
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            break;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    whole
}
