//! One server in this process with its port on loopback.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use pki::tls::Acceptor;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tonic::service::Routes;

use crate::api::{Context, Forward, Token, router, serve};
use crate::metrics::Metrics;
pub(super) use crate::ops::testing::live::{Live, SOON};
use crate::raft::Plain;

pub(super) struct Rig {
    pub(super) addr: SocketAddr,
    pub(super) token: String,
    live: Live,
}

impl Deref for Rig {
    type Target = Live;
    fn deref(&self) -> &Live {
        &self.live
    }
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
        Self::serving(Live::leading().await).await
    }

    /// Opens the port.
    pub(super) async fn serving(live: Live) -> Self {
        Self::serving_with(live, None).await
    }

    /// Opens the port, with TLS if there is something to show.
    pub(super) async fn serving_with(live: Live, tls: Option<Acceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let token = Token::random();
        let shown = token.reveal().to_owned();
        let context = Context {
            cluster: live.cluster.clone(),
            sources: Arc::new(live.hub.clone()),
            hub: live.hub.clone(),
            token: Arc::new(token),
            enrolment: None,
            members: None,
            forward: Forward::new(Arc::new(Plain)),
            forming: None,
            hosts: Arc::new(["s1.example".to_owned()]),
            name: "s1".into(),
            address: addr.to_string().into(),
            metrics: Metrics::default(),
        };
        let router = router(context, Routes::new(live.hub.service()));
        tokio::spawn(serve(listener, router, tls, live.stopping()));
        Self { addr, token: shown, live }
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
