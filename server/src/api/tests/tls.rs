//! The port with TLS: who shows a certificate, who shows none, and what changes while the server runs.

use std::time::{Duration, Instant};

use pki::tls::{Credentials, Expected, Trust, explain};
use pki::{Ca, Member, Own, Pending, Role};
use proto::wire::v1::agent_client::AgentClient;
use proto::wire::v1::control_client::ControlClient;
use proto::wire::v1::{self, server_message};
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::rig::{Live, Rig};
use crate::limits::FIRST_REQUEST_WITHIN;
use crate::raft::{Dial, Purpose, Secured};

/// A cluster's CA and a server with its certificate.
struct Secure {
    ca: Ca,
    shown: Credentials,
    rig: Rig,
}

fn issue(ca: &Ca, role: Role, name: &str, id: u64) -> Own {
    let (pending, member) = (Pending::new().unwrap(), Member { role, name: name.into(), id });
    let certificate = ca.issue(pending.request(), &member, &[], proto::time::now()).unwrap();
    pending.certified(certificate).unwrap()
}

fn trust(ca: &Ca) -> Trust {
    Trust::from_pem(&ca.certificate_pem()).unwrap()
}

impl Secure {
    async fn leading() -> Self {
        let ca = Ca::create("c1", proto::time::now()).unwrap();
        let shown = Credentials::of_member(issue(&ca, Role::Server, "s1", 1), trust(&ca));
        let rig = Rig::serving_with(Live::leading().await, Some(shown.acceptor())).await;
        Self { ca, shown, rig }
    }

    fn member(&self, role: Role, name: &str, id: u64) -> Credentials {
        Credentials::of_member(issue(&self.ca, role, name, id), trust(&self.ca))
    }

    fn person(&self) -> Credentials {
        Credentials::of_person(trust(&self.ca))
    }

    fn channel(&self, credentials: Credentials) -> Channel {
        Secured::new(credentials).dial(&self.rig.addr.to_string(), Purpose::Log).unwrap()
    }

    fn with_token<T>(&self, body: T) -> Request<T> {
        let mut request = Request::new(body);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.rig.token).parse().unwrap());
        request
    }

    /// Returns why a connection is refused, as a person is told.
    async fn refusal(&self, credentials: &Credentials, expected: Expected) -> Option<String> {
        let dialled = credentials.connector(expected).dial(&self.rig.addr.to_string()).await;
        dialled.err().map(|error| explain(&error).unwrap_or_else(|| error.to_string()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_need_the_token_and_no_certificate() {
    let secure = Secure::leading().await;
    let mut control = ControlClient::new(secure.channel(secure.person()));
    let refused = control.list_jobs(v1::ListJobsRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    control.list_jobs(secure.with_token(v1::ListJobsRequest::default())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_need_their_certificate_and_no_token() {
    let secure = Secure::leading().await;
    let nothing = tokio_stream::pending::<v1::AgentMessage>;
    for credentials in [secure.person(), secure.member(Role::Server, "s2", 2)] {
        let mut agent = AgentClient::new(secure.channel(credentials));
        let refused = agent.session(secure.with_token(nothing())).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "the token does not open it: {refused:?}");
    }
    let channel = secure.channel(secure.member(Role::Agent, "vm7", 7));
    let mut session = AgentClient::new(channel.clone()).session(nothing()).await.unwrap().into_inner();
    let first = session.message().await.unwrap().and_then(|message| message.kind);
    assert!(matches!(first, Some(server_message::Kind::Hello(_))), "{first:?}");
    let mut control = ControlClient::new(channel);
    let refused = control.list_jobs(secure.with_token(v1::ListJobsRequest::default())).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "an agent is an agent and nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_takes_effect_without_a_restart() {
    let secure = Secure::leading().await;
    let meant = |name: &str| Expected { name: Some(name.into()), id: None };
    let mut before = ControlClient::new(secure.channel(secure.person()));
    before.list_jobs(secure.with_token(v1::ListJobsRequest::default())).await.unwrap();
    assert_eq!(secure.refusal(&secure.person(), meant("s1")).await, None);
    secure.shown.replace(&issue(&secure.ca, Role::Server, "s9", 1));
    assert_eq!(secure.refusal(&secure.person(), meant("s9")).await, None);
    let refused = secure.refusal(&secure.person(), meant("s1")).await.unwrap();
    assert!(refused.contains("server `s9` answers there, `s1` is meant"), "{refused}");
    before.list_jobs(secure.with_token(v1::ListJobsRequest::default())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_clusters_ca_and_a_port_without_tls_are_named() {
    let secure = Secure::leading().await;
    let other = Ca::create("c2", proto::time::now()).unwrap();
    let refused = secure.refusal(&Credentials::of_person(trust(&other)), Expected::default()).await.unwrap();
    assert!(refused.contains("another cluster") && refused.contains("ca.pem"), "{refused}");
    let answer = secure.rig.send("GET /health", &["Host: localhost"], "").await;
    assert_eq!((answer.status, answer.body.contains("https://")), (400, true), "{answer:?}");
    let plain = Rig::leading().await;
    let dialled = secure.person().connector(Expected::default()).dial(&plain.addr.to_string()).await;
    let refused = explain(&dialled.map(drop).unwrap_err()).unwrap();
    assert!(refused.contains("does not speak TLS"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_shakes_hands_is_let_go() {
    let secure = Secure::leading().await;
    let began = Instant::now();
    let half_a_greeting = [22, 3, 1, 2, 0, 1];
    let (silent, slow) = tokio::join!(secure.rig.raw(&[]), secure.rig.raw(&half_a_greeting));
    assert_eq!((silent.as_str(), slow.as_str()), ("", ""));
    assert!(began.elapsed() >= FIRST_REQUEST_WITHIN - Duration::from_millis(500), "both were waited for");
    let mut control = ControlClient::new(secure.channel(secure.person()));
    control.list_jobs(secure.with_token(v1::ListJobsRequest::default())).await.unwrap();
}
