//! Three servers that believe certificates and nothing else.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pki::tls::{Accepted, Credentials, Peer, Trust};
use pki::{Ca, Member as Certified, Pending, Role};
use proto::wire::v1::{self, raft_client::RaftClient};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::Connected;
use tonic::{Code, Status};

use super::*;
use crate::peers;
use crate::raft::{Dial, Plain, Purpose, Secured, codec};

/// A connection whose other end is known.
struct Known(Accepted<TcpStream>, Peer);

impl Connected for Known {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.1.clone()
    }
}

impl AsyncRead for Known {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl AsyncWrite for Known {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn credentials(ca: &Ca, role: Role, name: &str, id: u64) -> Credentials {
    let (pending, member) = (Pending::new().unwrap(), Certified { role, name: name.into(), id });
    let certificate = ca.issue(pending.request(), &member, &[], proto::time::now()).unwrap();
    let own = pending.certified(certificate).unwrap();
    Credentials::of_member(own, Trust::from_pem(&ca.certificate_pem()).unwrap())
}

struct Mutual {
    ca: Ca,
    servers: BTreeMap<u64, (Handle<Adder>, Arc<Mutex<Sum>>)>,
    members: Vec<Member>,
    _dirs: Vec<tempfile::TempDir>,
}

impl Mutual {
    async fn formed() -> Self {
        let ca = Ca::create("c1", proto::time::now()).unwrap();
        let mut mutual = Self { ca, servers: BTreeMap::new(), members: vec![], _dirs: vec![] };
        for id in 1..=3 {
            mutual.start(id).await;
        }
        mutual.servers[&1].0.bootstrap(&mutual.members).await.unwrap();
        mutual
    }

    async fn start(&mut self, id: u64) {
        let (name, dir) = (format!("s{id}"), tempfile::tempdir().unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let credentials = credentials(&self.ca, Role::Server, &name, id);
        let config = Config {
            store: Options { segment_bytes: 4096, ..Options::new(Backend::Segments) },
            timings: TIMINGS,
            bootstrap: Bootstrap::Wait,
            dial: Arc::new(Secured::new(credentials.clone())),
            ..Config::new(dir.path(), id, &addr, &name)
        };
        let machine = Adder::default();
        let published = machine.published.clone();
        let handle = Handle::start(config, machine).await.unwrap();
        let service = InterceptedService::new(handle.service(), peers::only(Role::Server));
        let acceptor = credentials.acceptor();
        let incoming = TcpListenerStream::new(listener).then(move |accepted| {
            let acceptor = acceptor.clone();
            async move {
                let (stream, peer) = acceptor.accept(accepted?).await.map_err(io::Error::other)?;
                Ok::<_, io::Error>(Known(stream, peer))
            }
        });
        let router = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(router.serve_with_incoming(incoming));
        self.members.push(Member { id, addr, name });
        self.servers.insert(id, (handle, published));
        self._dirs.push(dir);
    }

    fn addr(&self, id: u64) -> &str {
        &self.members.iter().find(|member| member.id == id).unwrap().addr
    }

    async fn add(&self, number: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for (handle, _) in self.servers.values() {
                if matches!(handle.propose(add(number)).await, Ok(Ok(_))) {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "a write succeeds");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn all_have(&self, total: u64) {
        let deadline = Instant::now() + PATIENCE;
        while !self.servers.values().all(|(_, published)| published.lock().unwrap().total == total) {
            assert!(Instant::now() < deadline, "all have {total}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks a server for its vote, as a candidate that nobody could refuse for what it says.
    async fn ask_for_a_vote(&self, dial: &dyn Dial) -> Status {
        let route = v1::Route { wire: 1, wire_least: 1, cluster: 0, from: 2, to: 1 };
        let vote = codec::encode_vote(&openraft::Vote::new(99, 2));
        let asked = v1::RaftVote { route: Some(route), vote, last_log: codec::encode_mark(None) };
        let channel = dial.dial_server(1, self.addr(1), Purpose::Log).unwrap();
        RaftClient::new(channel).vote(asked).await.unwrap_err()
    }
}

/// Promise: servers that have certificates of one CA form a cluster and replicate; who has none, or an agent's, is refused and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_replicate_over_mutual_tls_and_refuse_everybody_else() {
    let mutual = Mutual::formed().await;
    for number in 1..=10 {
        mutual.add(number).await;
    }
    mutual.all_have(55).await;
    let term = mutual.servers[&1].0.metrics().term;

    let person = Credentials::of_person(Trust::from_pem(&mutual.ca.certificate_pem()).unwrap());
    let refused = mutual.ask_for_a_vote(&Secured::new(person)).await;
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("only a server of this cluster"), "{refused:?}");
    let agent = credentials(&mutual.ca, Role::Agent, "vm7", 2);
    let refused = mutual.ask_for_a_vote(&Secured::new(agent)).await;
    assert!(refused.message().contains("not agent `vm7`"), "{refused:?}");
    let refused = mutual.ask_for_a_vote(&Plain).await;
    assert_ne!(refused.code(), Code::PermissionDenied, "without TLS nothing is spoken at all: {refused:?}");

    mutual.add(45).await;
    mutual.all_have(100).await;
    assert_eq!(mutual.servers[&1].0.metrics().term, term, "nobody has voted for them");
}

/// Promise: a server that took another one's address is not taken for it, and a server of another cluster for none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_meant_is_not_spoken_to() {
    let mutual = Mutual::formed().await;
    mutual.add(1).await;
    let other = Ca::create("c2", proto::time::now()).unwrap();
    let ours = Secured::new(credentials(&mutual.ca, Role::Server, "s2", 2));
    let theirs = Secured::new(credentials(&other, Role::Server, "s2", 2));
    let asked = || v1::RaftPreVote { route: None, last_log: codec::encode_mark(None) };
    for (dial, id) in [(&ours, 3), (&theirs, 1)] {
        let channel = dial.dial_server(id, mutual.addr(1), Purpose::Log).unwrap();
        let refused = RaftClient::new(channel).pre_vote(asked()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    }
    let channel = ours.dial_server(1, mutual.addr(1), Purpose::Log).unwrap();
    let refused = RaftClient::new(channel).pre_vote(asked()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "who is meant reads it: {refused:?}");
}
