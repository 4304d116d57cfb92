//! Three servers in one process, over real connections on loopback that can be cut.

/// Who leads, and when that changes.
mod leading;
/// Who is behind, and catches up.
mod learning;
/// Connections that can be cut.
mod lines;
/// Certificates in the place of trust.
mod mutual;
/// What a reader is told.
mod reading;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::TcpListenerStream;

use self::lines::Lines;
use super::log_store::{self, Backend, Options};
use super::testing::{Adder, Sum, add};
use super::{Bootstrap, ClusterId, Config, Handle, Member, ProposeError, StartError, Timings};

const PATIENCE: Duration = Duration::from_secs(30);
const TIMINGS: Timings = Timings {
    heartbeat: Duration::from_millis(100),
    election_min: Duration::from_millis(400),
    election_max: Duration::from_millis(600),
};

struct Server {
    handle: Handle<Adder>,
    published: Arc<Mutex<Sum>>,
    cluster: ClusterId,
    port: Option<Runtime>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Connections and all: the others see it vanish.
        if let Some(port) = self.port.take() {
            port.shutdown_background();
        }
    }
}

impl Server {
    fn sum(&self) -> Sum {
        *self.published.lock().unwrap()
    }

    fn leads(&self) -> bool {
        self.handle.leadership().borrow().leading
    }
}

/// Up to three servers, by id.
struct Trio {
    dirs: BTreeMap<u64, tempfile::TempDir>,
    addrs: BTreeMap<u64, SocketAddr>,
    lines: Lines,
    servers: BTreeMap<u64, Server>,
    /// Of every snapshot.
    ballast: usize,
}

impl Trio {
    /// Three servers that wait.
    async fn waiting() -> Self {
        let mut trio = Trio {
            dirs: (1..=3).map(|id| (id, tempfile::tempdir().unwrap())).collect(),
            addrs: BTreeMap::new(),
            lines: Lines::default(),
            servers: BTreeMap::new(),
            ballast: 0,
        };
        for id in 1..=3 {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            trio.addrs.insert(id, addr);
            trio.lines.name(id, addr);
            trio.start_with(id, listener, Bootstrap::Wait).await;
        }
        trio
    }

    /// One cluster of three, and a leader.
    async fn formed() -> Self {
        let trio = Self::waiting().await;
        trio.servers[&2].handle.bootstrap(&trio.members()).await.unwrap();
        trio.leader().await;
        trio
    }

    fn members(&self) -> Vec<Member> {
        (1..=3).map(|id| self.member(id)).collect()
    }

    fn member(&self, id: u64) -> Member {
        Member { id, addr: self.addrs[&id].to_string(), name: format!("s{id}") }
    }

    /// Starts a server again where it was.
    async fn start(&mut self, id: u64) {
        let listener = self.listen(id).await;
        self.start_with(id, listener, Bootstrap::Wait).await;
    }

    async fn listen(&self, id: u64) -> TcpListener {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match TcpListener::bind(self.addrs[&id]) {
                Ok(listener) => return listener,
                Err(error) => assert!(Instant::now() < deadline, "the address stays taken: {error}"),
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn start_with(&mut self, id: u64, listener: TcpListener, bootstrap: Bootstrap) {
        let Member { addr, name, .. } = self.member(id);
        let cluster = ClusterId::default();
        let config = Config {
            store: Options { segment_bytes: 4096, ..Options::new(Backend::Segments) },
            timings: TIMINGS,
            bootstrap,
            cluster: cluster.clone(),
            dial: self.lines.dial_of(id),
            propose_timeout: Duration::from_secs(5),
            ..Config::new(self.dirs[&id].path(), id, &addr, &name)
        };
        let deadline = Instant::now() + PATIENCE;
        let (handle, published) = loop {
            let mut machine = Adder::default();
            machine.ballast = self.ballast;
            let published = machine.published.clone();
            match Handle::start(config.clone(), machine).await {
                Ok(handle) => break (handle, published),
                // Its predecessor, dropped and not stopped, still closes its store.
                Err(StartError::Store(log_store::Error::Locked { .. })) => {}
                Err(error) => panic!("{error:?}"),
            }
            assert!(Instant::now() < deadline, "a dropped server closes its store");
            sleep(Duration::from_millis(10)).await;
        };
        let port =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let service = handle.service();
        port.spawn(async move {
            listener.set_nonblocking(true).unwrap();
            let incoming = TcpListenerStream::new(tokio::net::TcpListener::from_std(listener).unwrap());
            let router = tonic::transport::Server::builder().add_service(service);
            router.serve_with_incoming(incoming).await.unwrap();
        });
        self.servers.insert(id, Server { handle, published, cluster, port: Some(port) });
    }

    /// Ends a server as a crash does: nothing is said to anybody.
    fn kill(&mut self, id: u64) {
        self.servers.remove(&id).unwrap();
    }

    /// Cuts a server off from both others, or mends it.
    fn set_cut_off(&self, id: u64, is_cut: bool) {
        (1..=3).filter(|other| *other != id).for_each(|other| self.lines.set_cut(id, other, is_cut));
    }

    async fn wait_for(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < deadline, "{what}; seen: {}", self.seen());
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn seen(&self) -> String {
        let seen = |(id, server): (&u64, &Server)| {
            let leadership = server.handle.leadership().borrow().clone();
            format!("\n{id}: {leadership:?} {:?} {:?}", server.handle.metrics(), server.sum())
        };
        self.servers.iter().map(seen).collect()
    }

    /// Waits until one leads and a majority has confirmed it.
    async fn leader(&self) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for (id, server) in &self.servers {
                if server.leads() && server.handle.read_index().await.is_ok() {
                    return *id;
                }
            }
            assert!(Instant::now() < deadline, "one leads; seen: {}", self.seen());
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn others(&self, id: u64) -> Vec<u64> {
        (1..=3).filter(|other| *other != id).collect()
    }

    /// Adds a number on whoever leads.
    async fn add(&self, number: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let leader = self.leader().await;
            match self.servers[&leader].handle.propose(add(number)).await {
                Ok(outcome) => {
                    outcome.unwrap();
                    return;
                }
                Err(ProposeError::NotLeader { .. }) => {}
                Err(error) => panic!("{error}; seen: {}", self.seen()),
            }
            assert!(Instant::now() < deadline, "a write succeeds; seen: {}", self.seen());
        }
    }

    async fn all_have(&self, total: u64) {
        let what = format!("all have {total}");
        self.wait_for(&what, |trio| trio.servers.values().all(|server| server.sum().total == total)).await;
    }
}
