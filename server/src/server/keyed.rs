//! One server with a key, and agents that enrol with it over real connections.

use std::time::Duration;

use pki::asked::{self, Enrolled};
use pki::limits::CERTIFICATE_LASTS;
use pki::purpose;
use pki::tls::{Expected, explain};
use proto::error::{Error, Kind as ErrorKind};
use proto::wire::v1::agent_client::AgentClient;
use proto::wire::v1::{self, agent_message, server_message};
use proto::wire::{WIRE_VERSION, agent};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::StreamExt as _;
use tonic::Status;

use super::*;
use crate::core::state::{Denied, Kind, Outcome};
use crate::ops::testing::identity as node;
use crate::raft::Purpose;

const PATIENCE: Duration = Duration::from_secs(40);

struct Keyed {
    key: ClusterKey,
    dir: TempDir,
    server: Option<Handle>,
}

impl Keyed {
    async fn start() -> Self {
        let mut keyed =
            Self { key: ClusterKey::generate().unwrap(), dir: tempfile::tempdir().unwrap(), server: None };
        keyed.start_again().await;
        keyed
    }

    async fn start_again(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = Config {
            backend: Some(Backend::Segments),
            key: Some(self.key.clone()),
            ..Config::new(self.dir.path(), "s0", listener)
        };
        self.server = Some(start(config).await.expect("it starts"));
        self.until("it leads, and the CA is in its state", |server| {
            server.cluster().reign().is_some() && server.cluster().snapshot().authority.is_some()
        })
        .await;
    }

    fn server(&self) -> &Handle {
        self.server.as_ref().expect("it runs")
    }

    fn addr(&self) -> String {
        self.server().addr().to_string()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Handle) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self.server()) {
            assert!(Instant::now() < deadline, "{what}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Enrols the agent of a node, with this key.
    async fn enrol(&self, key: &ClusterKey, number: u64) -> Result<Credentials, asked::Error> {
        let says = node(number);
        let own = Member { role: Role::Agent, name: says.name, id: says.id.0 };
        let secrets = [key.secret(purpose::ENROL)];
        let Enrolled { own, trust, authority } = asked::enrol(&self.addr(), &secrets, &[], &own, &[]).await?;
        assert!(authority.is_none(), "an agent never gets the CA");
        Ok(Credentials::of_member(own, trust))
    }

    fn agent(&self, credentials: &Credentials) -> AgentClient<tonic::transport::Channel> {
        let dial = Secured::new(credentials.clone());
        AgentClient::new(dial.dial(&self.addr(), Purpose::Calls).unwrap())
    }

    /// Registers as a node, and returns the stream that goes on.
    async fn register(
        &self,
        credentials: &Credentials,
        number: u64,
    ) -> Result<tonic::Streaming<v1::ServerMessage>, Status> {
        let seen = self.server().cluster().snapshot().revision.0;
        let register = v1::Register {
            wire: WIRE_VERSION,
            identity: Some(agent::identity_to_wire(&node(number))),
            seen,
            ..v1::Register::default()
        };
        let first = v1::AgentMessage { kind: Some(agent_message::Kind::Register(register)) };
        let up = tokio_stream::iter([first]).chain(tokio_stream::pending());
        let mut down = self.agent(credentials).session(up).await?.into_inner();
        loop {
            match down.message().await?.and_then(|message| message.kind) {
                Some(server_message::Kind::Registered(_)) => return Ok(down),
                Some(_) => {}
                None => panic!("the stream ended without a reason"),
            }
        }
    }

    async fn deny(&self, number: u64, denied: bool) {
        let until = now().plus(CERTIFICATE_LASTS);
        let denied = denied.then(|| Denied { name: format!("agent `n{number}`"), until });
        let kind = Kind::DenyMember { id: node(number).id.0, denied };
        let outcome = self.server().cluster().propose(kind).await.expect("it is led");
        assert!(matches!(outcome, Outcome::Written { changed: true, .. }), "{outcome:?}");
    }

    async fn shaken(&self, credentials: &Credentials) -> Result<(), String> {
        let dialled = credentials.connector(Expected::default()).dial(&self.addr()).await;
        dialled.map(drop).map_err(|error| explain(&error).unwrap_or_else(|| error.to_string()))
    }
}

/// Promise: who has the key becomes the agent of its node, and of no other; who has another key becomes nothing and hears why.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_agent_speaks_for_the_node_that_it_enrolled_as() {
    let keyed = Keyed::start().await;
    let credentials = keyed.enrol(&keyed.key, 1).await.expect("it has the key");
    keyed.register(&credentials, 1).await.expect("it is itself");
    let refused = Error::from(&keyed.register(&credentials, 2).await.expect_err("it is not node 2"));
    assert_eq!(refused.kind, ErrorKind::Forbidden, "{refused:?}");
    assert!(refused.message.contains("is not what the certificate of agent"), "{refused:?}");
    assert!(refused.hint.contains("--key-file"), "{refused:?}");

    let stranger = keyed.enrol(&ClusterKey::generate().unwrap(), 3).await.expect_err("another key");
    assert!(stranger.to_string().contains("different key files"), "{stranger}");
    let person = Credentials::of_person(pki::tls::Trust::from_pem(&credentials.trust_pem()).unwrap());
    let refused = Error::from(&keyed.register(&person, 3).await.expect_err("no certificate"));
    assert!(refused.message.contains("only members of the cluster may ask this"), "{refused:?}");
}

/// Promise: a member gets another certificate by the one that it has; the CA that gives it is the same after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_certificate_is_renewed_without_the_key_and_the_ca_survives_a_restart() {
    let mut keyed = Keyed::start().await;
    let credentials = keyed.enrol(&keyed.key, 1).await.expect("it has the key");
    let before = credentials.identity().unwrap();
    let (own, trust) = asked::renew(&keyed.addr(), &credentials).await.expect("it is a member");
    assert_eq!((&own.identity().member, trust.pem()), (&before.member, credentials.trust_pem().as_str()));
    assert!(own.identity().expires_at >= before.expires_at);
    let person = Credentials::of_person(trust);
    let refused = asked::renew(&keyed.addr(), &person).await.expect_err("nobody in particular");
    assert!(
        matches!(&refused, asked::Error::Refused { refusal, .. } if refusal.kind == ErrorKind::Forbidden)
    );

    keyed.server.take().expect("it runs").stop().await;
    keyed.start_again().await;
    assert_eq!(keyed.server().credentials().unwrap().trust_pem(), credentials.trust_pem());
    keyed.register(&credentials, 1).await.expect("it is still a member");
    assert!(!keyed.dir.path().join("authority.pem").exists(), "the CA is in the state alone");
}

/// Promise: a server whose certificate is due has a new one within moments, of the same CA, without a restart and without anybody's doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_renews_its_own_certificate_when_it_is_due() {
    let mut keyed = Keyed::start().await;
    let credentials = keyed.server().credentials().unwrap().clone();
    let (own, fresh) = (credentials.identity().unwrap().member, credentials.identity().unwrap().expires_at);
    keyed.until("the CA is nowhere else", |_| !keyed.dir.path().join("authority.pem").exists()).await;
    let authority = keyed.server().cluster().snapshot().authority.clone().unwrap();
    let ca = asked::open_authority(&[keyed.key.secret(purpose::AUTHORITY)], &authority.sealed).unwrap();
    keyed.server.take().expect("it runs").stop().await;
    // As if it had been made 25 days ago.
    let pending = pki::Pending::new().unwrap();
    let long_ago = proto::time::Timestamp(now().0 - 25 * 24 * 3_600_000);
    let old = pending.certified(ca.issue(pending.request(), &own, &[], long_ago).unwrap()).unwrap();
    pki::files::Folder::new(keyed.dir.path()).keep_member(&old).unwrap();
    keyed.start_again().await;
    keyed
        .until("it is renewed", |server| {
            server.credentials().unwrap().identity().unwrap().expires_at >= fresh
        })
        .await;
    assert_eq!(keyed.server().credentials().unwrap().trust_pem(), credentials.trust_pem());
}

/// Promise: who is thrown out loses the connections that it has, gets no new one and no certificate, until it is let in again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_member_that_is_thrown_out_is_gone_at_once() {
    let keyed = Keyed::start().await;
    let (one, other) = (keyed.enrol(&keyed.key, 1).await.unwrap(), keyed.enrol(&keyed.key, 2).await.unwrap());
    let mut stream = keyed.register(&one, 1).await.expect("it is a member");
    let mut stays = keyed.register(&other, 2).await.expect("it is a member");
    keyed.deny(1, true).await;
    let ends = async { while let Ok(Some(_)) = stream.message().await {} };
    timeout(PATIENCE, ends).await.expect("its stream ends");
    let refused = keyed.shaken(&one).await;
    // With TLS 1.3 the client is through before the server has looked at its certificate.
    let refused = match refused {
        Ok(()) => keyed.register(&one, 1).await.expect_err("nothing is answered").to_string(),
        Err(why) => why,
    };
    assert!(!refused.is_empty());
    asked::renew(&keyed.addr(), &one).await.expect_err("it is a stranger");
    let enrolled = keyed.enrol(&keyed.key, 1).await.expect_err("also with the key");
    assert!(enrolled.to_string().contains("was thrown out of the cluster"), "{enrolled}");
    let calm =
        timeout(Duration::from_millis(300), async { while let Ok(Some(_)) = stays.message().await {} });
    assert!(calm.await.is_err(), "others stay");

    keyed.deny(1, false).await;
    let deadline = Instant::now() + PATIENCE;
    while keyed.register(&one, 1).await.is_err() {
        assert!(Instant::now() < deadline, "it is let in again");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Promise: while the key is changed the old one and the new one hold, and what is certified goes on; when all servers have the new one the CA is sealed
/// with that, and who still has the old one alone is refused with a sentence.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_key_is_changed_while_everything_goes_on() {
    let mut keyed = Keyed::start().await;
    let (old, new) = (keyed.key.clone(), ClusterKey::generate().unwrap());
    let member = keyed.enrol(&old, 1).await.expect("it has the key");
    let mut stays = keyed.register(&member, 1).await.expect("it is a member");
    let trust = member.trust_pem();
    keyed.server().rekey(&[new.clone(), old.clone()]);
    keyed
        .until("the CA is sealed with the new key", |server| {
            let authority = server.cluster().snapshot().authority.clone().unwrap();
            asked::open_authority(&[new.secret(purpose::AUTHORITY)], &authority.sealed).is_ok()
        })
        .await;
    for (number, key) in [(2, &old), (3, &new)] {
        let enrolled = keyed.enrol(key, number).await.expect("both hold");
        assert_eq!(enrolled.trust_pem(), trust, "the CA is the same");
    }
    keyed.server().rekey(std::slice::from_ref(&new));
    let refused = keyed.enrol(&old, 4).await.expect_err("the old key opens nothing");
    assert!(refused.to_string().contains("different key files"), "{refused}");
    keyed.enrol(&new, 4).await.expect("the new one does");
    asked::renew(&keyed.addr(), &member).await.expect("a certificate does not depend on the key");
    let calm =
        timeout(Duration::from_millis(300), async { while let Ok(Some(_)) = stays.message().await {} });
    assert!(calm.await.is_err(), "its session went on");

    keyed.key = new;
    keyed.server.take().expect("it runs").stop().await;
    keyed.start_again().await;
    keyed.enrol(&keyed.key, 5).await.expect("also after a restart with the new key alone");
}
