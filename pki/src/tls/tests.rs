//! Both ends over real connections on loopback.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::enrol::{Ask, Refused};
use crate::member::Role;
use crate::own::Pending;
use crate::testing::{self, credentials};

/// Accepts one connection after the other; says to each who it is.
async fn serve(credentials: &Credentials) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, acceptor) = (listener.local_addr().unwrap(), credentials.acceptor());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok((mut stream, peer)) = acceptor.accept(stream).await {
                let who = peer.identity.map_or("a stranger".into(), |identity| identity.member.to_string());
                stream.write_all(who.as_bytes()).await.ok();
                stream.shutdown().await.ok();
            }
        }
    });
    addr
}

/// Returns what the server said, or why not.
async fn call(credentials: &Credentials, expected: Expected, addr: SocketAddr) -> Result<String, String> {
    let mut said = String::new();
    let called = async {
        let mut stream = credentials.connector(expected).dial(&addr.to_string()).await?;
        stream.read_to_string(&mut said).await
    };
    match called.await {
        Ok(_) => Ok(said),
        Err(error) => Err(explain(&error).unwrap_or_else(|| error.to_string())),
    }
}

fn any() -> Expected {
    Expected::default()
}

#[tokio::test]
async fn members_are_known_and_people_are_strangers() {
    let ca = testing::ca();
    let addr = serve(&credentials(&ca, Role::Server, "s1", 1)).await;
    let agent = credentials(&ca, Role::Agent, "vm7", 2);
    assert_eq!(call(&agent, any(), addr).await.as_deref(), Ok("agent `vm7`"));
    let person = Credentials::of_person(testing::trust(&ca));
    assert_eq!(call(&person, any(), addr).await.as_deref(), Ok("a stranger"));
}

#[tokio::test]
async fn both_sides_refuse_another_cluster_with_a_reason() {
    let (ca, other) = (testing::ca(), testing::ca());
    let addr = serve(&credentials(&ca, Role::Server, "s1", 1)).await;
    let theirs = Credentials::of_person(testing::trust(&other));
    let refused = call(&theirs, any(), addr).await.unwrap_err();
    assert!(refused.contains("another cluster"), "{refused}");
    // It believes our CA, and shows a certificate of its own.
    let own = testing::issue(&other, &testing::member(Role::Agent, "x", 1), proto::time::now());
    let intruder = Credentials::of_member(own, testing::trust(&ca));
    let refused = call(&intruder, any(), addr).await.unwrap_err();
    assert!(refused.contains("does not know the CA of our certificate"), "{refused}");
}

#[tokio::test]
async fn an_agent_cannot_pose_as_a_server() {
    let ca = testing::ca();
    let addr = serve(&credentials(&ca, Role::Agent, "vm7", 2)).await;
    let refused = call(&credentials(&ca, Role::Server, "s1", 1), any(), addr).await.unwrap_err();
    assert!(refused.contains("agent `vm7` answers there, which is no server"), "{refused}");
}

#[tokio::test]
async fn what_is_replaced_holds_for_the_next_connection() {
    let ca = testing::ca();
    let server = credentials(&ca, Role::Server, "s1", 1);
    let addr = serve(&server).await;
    let agent = credentials(&ca, Role::Agent, "vm7", 2);
    let meant = |name: &str| Expected { name: Some(name.into()), id: None };
    assert!(call(&agent, meant("s1"), addr).await.is_ok());
    server.replace(&testing::issue(&ca, &testing::member(Role::Server, "s2", 3), proto::time::now()));
    assert!(call(&agent, meant("s2"), addr).await.is_ok());
    let refused = call(&agent, meant("s1"), addr).await.unwrap_err();
    assert!(refused.contains("`s1` is meant"), "{refused}");
    server.deny([2].into());
    let refused = call(&agent, any(), addr).await.unwrap_err();
    assert!(refused.contains("was thrown out"), "{refused}");
}

#[tokio::test]
async fn http_without_tls_is_told_what_to_do_and_nonsense_ends() {
    let addr = serve(&credentials(&testing::ca(), Role::Server, "s1", 1)).await;
    for (sent, answered) in
        [("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true), ("\u{16}nonsense that is no handshake", false)]
    {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.starts_with("HTTP/1.1 400") && answer.contains("https://"), answered, "{answer}");
    }
}

#[tokio::test]
async fn a_port_without_tls_is_named_as_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
    });
    let refused =
        call(&Credentials::of_person(testing::trust(&testing::ca())), any(), addr).await.unwrap_err();
    assert!(refused.contains("does not speak TLS"), "{refused}");
}

/// Promise: a server is reached before there is a CA, believed by nobody and believing nobody, and becomes a member while it runs.
#[tokio::test]
async fn a_server_without_a_ca_is_reached_and_becomes_a_member_while_it_runs() {
    let (ca, s1) = (testing::ca(), testing::member(Role::Server, "s1", 1));
    let server = Credentials::provisional(&s1, proto::time::now()).unwrap();
    let addr = serve(&server).await;
    let person = Credentials::of_person(testing::trust(&ca));
    assert!(call(&person, any(), addr).await.unwrap_err().contains("another cluster"));
    let member = credentials(&ca, Role::Agent, "vm7", 2);
    assert!(member.connector(any()).dial(&addr.to_string()).await.is_err());
    let mut said = String::new();
    unproven().dial(&addr.to_string()).await.unwrap().read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "a stranger");
    server.trust(testing::trust(&ca));
    server.replace(&testing::issue(&ca, &s1, proto::time::now()));
    assert_eq!(call(&member, any(), addr).await.as_deref(), Ok("agent `vm7`"));
}

/// Promise: a machine with nothing but the key becomes a member, and knows whom it trusts.
#[tokio::test]
async fn a_machine_with_the_key_alone_becomes_a_member() {
    let key = [7; 32];
    let ca = testing::ca();
    let (mut here, there, peer) = unproven_pair(&credentials(&ca, Role::Server, "s1", 1)).await;
    let bound = binding(&here).unwrap();
    assert_eq!(bound, peer.binding, "both ends know the same");
    let pending = Pending::new().unwrap();
    let vm7 = testing::member(Role::Agent, "vm7", 2);
    let ask = Ask::new(&key, &bound, vm7.clone(), vec![], pending.request().to_vec());
    let secret = ask.check(std::slice::from_ref(&key), &peer.binding).unwrap();
    let certificate = ca.issue(&ask.request, &ask.member, &ask.hosts, proto::time::now()).unwrap();
    let grant = ask.grant(secret, &peer.binding, certificate, ca.certificate_pem());
    grant.check(&key, &bound, &ask).unwrap();
    let member = Credentials::of_member(
        pending.certified(grant.certificate).unwrap(),
        Trust::from_pem(&grant.trust).unwrap(),
    );
    assert_eq!(member.identity().unwrap().member, vm7);
    here.shutdown().await.ok();
    drop(there);
    let addr = serve(&credentials(&ca, Role::Server, "s1", 1)).await;
    assert_eq!(call(&member, any(), addr).await.as_deref(), Ok("agent `vm7`"));
}

/// Promise: somebody between, whom the new machine takes for the server, can neither enrol in its place nor pose as the cluster.
#[tokio::test]
async fn somebody_between_gets_nothing() {
    let key = [7; 32];
    let (ca, theirs) = (testing::ca(), testing::ca());
    // The new machine reaches the man in the middle, who reaches the server.
    let (here, _there, _) = unproven_pair(&credentials(&theirs, Role::Server, "s1", 1)).await;
    let (_between, _server, at_server) = unproven_pair(&credentials(&ca, Role::Server, "s1", 1)).await;
    let bound = binding(&here).unwrap();
    assert_ne!(bound, at_server.binding);
    let pending = Pending::new().unwrap();
    let ask =
        Ask::new(&key, &bound, testing::member(Role::Agent, "vm7", 2), vec![], pending.request().to_vec());
    assert_eq!(ask.check(&[key], &at_server.binding), Err(Refused::WrongKey), "passed on as it is");
    let certificate = theirs.issue(pending.request(), &ask.member, &[], proto::time::now()).unwrap();
    let posed = ask.grant(&[0; 32], &bound, certificate, theirs.certificate_pem());
    assert_eq!(posed.check(&key, &bound, &ask), Err(Refused::WrongKey), "answered without the key");
}

type Ends = (tokio_rustls::client::TlsStream<TcpStream>, tokio_rustls::server::TlsStream<TcpStream>, Peer);

/// Both ends of a connection of somebody who trusts nobody yet.
async fn unproven_pair(server: &Credentials) -> Ends {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let acceptor = server.acceptor();
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.unwrap()
    };
    let connector = unproven();
    let (here, (there, peer)) = tokio::join!(connector.dial(&addr), accept);
    (here.unwrap(), there, peer)
}
