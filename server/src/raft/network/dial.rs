//! How a server connects to another one: without TLS on loopback, else with it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use pki::tls::{Credentials, Expected, KeyConnector, Keys, explain, in_words};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::limits::{PEER_CONNECT_WITHIN, PEER_PING, PEER_PONG};

/// What a connection is for. They are separate so that a snapshot never delays a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Entries, heartbeats and votes.
    Log,
    /// Snapshots; and, while the other one is full of entries, that the leader lives.
    Snapshots,
    /// Everything else: greetings, and requests of clients that only the leader answers.
    Calls,
}

/// An address that is none.
#[derive(Debug, thiserror::Error)]
#[error("`{addr}` is not an address: it must be host:port")]
pub struct BadAddress {
    /// What it is.
    pub addr: String,
    /// Why.
    source: tonic::transport::Error,
}

/// Makes connections to other servers.
pub trait Dial: fmt::Debug + Send + Sync + 'static {
    /// Returns a channel that connects when it is first used, and anew after it broke. Called within a runtime; must not wait.
    ///
    /// # Errors
    /// [`BadAddress`]
    fn dial(&self, addr: &str, purpose: Purpose) -> Result<Channel, BadAddress>;

    /// The same for a server whose id is known: where connections tell who answers, another one is refused.
    ///
    /// # Errors
    /// [`BadAddress`]
    fn dial_server(&self, id: u64, addr: &str, purpose: Purpose) -> Result<Channel, BadAddress> {
        let _ = id;
        self.dial(addr, purpose)
    }
}

/// Connections without TLS, for loopback.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Dial for Plain {
    fn dial(&self, addr: &str, _: Purpose) -> Result<Channel, BadAddress> {
        Ok(endpoint(addr)?.connect_lazy())
    }
}

/// Connections with mutual TLS: this server shows its certificate, and who answers must be a server of the same cluster.
#[derive(Clone, Debug)]
pub struct Secured {
    credentials: Credentials,
}

impl Secured {
    /// Shows what these credentials show at the time of each connection, and believes whom they believe then.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials }
    }

    fn channel(&self, addr: &str, expected: Expected) -> Result<Channel, BadAddress> {
        let connector = self.credentials.connector(expected);
        channel(addr, move |addr| {
            let connector = connector.clone();
            async move { connector.dial(&addr).await }
        })
    }
}

impl Dial for Secured {
    fn dial(&self, addr: &str, _: Purpose) -> Result<Channel, BadAddress> {
        self.channel(addr, Expected::default())
    }

    fn dial_server(&self, id: u64, addr: &str, _: Purpose) -> Result<Channel, BadAddress> {
        self.channel(addr, Expected { id: Some(id), name: None })
    }
}

/// Connections to who has the cluster's key, whoever that is: how servers meet before they have certificates.
#[derive(Clone, Debug)]
pub struct ByKey {
    connector: KeyConnector,
}

impl ByKey {
    /// Proves that this server has one of these keys, and wants the same proof.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self { connector: KeyConnector::new(keys) }
    }
}

impl Dial for ByKey {
    fn dial(&self, addr: &str, _: Purpose) -> Result<Channel, BadAddress> {
        let connector = self.connector.clone();
        channel(addr, move |addr| {
            let connector = connector.clone();
            async move { connector.dial(&addr).await }
        })
    }
}

/// Returns a channel that shakes hands whenever it connects, and says once why it cannot.
fn channel<F, D, S>(addr: &str, dial: D) -> Result<Channel, BadAddress>
where
    D: Fn(Arc<str>) -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let endpoint = endpoint(addr)?;
    let (addr, told) = (Arc::<str>::from(addr), Arc::new(Told::default()));
    let connect = service_fn(move |_| {
        let (dialled, addr, told) = (dial(addr.clone()), addr.clone(), told.clone());
        async move {
            let dialled = dialled.await;
            told.note(&addr, dialled.as_ref().err());
            // The library above hides its causes, which are what helps.
            dialled.map(TokioIo::new).map_err(in_words)
        }
    });
    Ok(endpoint.connect_with_connector_lazy(connect))
}

/// What was last said about a connection: it is tried many times a second, and told once.
#[derive(Debug, Default)]
struct Told(Mutex<Option<String>>);

impl Told {
    fn note(&self, addr: &str, error: Option<&io::Error>) {
        let reason = error.and_then(|error| explain(error));
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = reason.as_ref().filter(|reason| last.as_ref() != Some(reason)) {
            tracing::error!(addr, reason, "another server cannot be trusted");
        }
        *last = reason;
    }
}

/// Returns what every connection to a server at `addr` (host:port) shares: time limits and signs of life.
///
/// # Errors
/// [`BadAddress`]
pub fn endpoint(addr: &str) -> Result<Endpoint, BadAddress> {
    let bad = |source| BadAddress { addr: addr.to_owned(), source };
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).map_err(bad)?;
    Ok(endpoint
        .connect_timeout(PEER_CONNECT_WITHIN)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PEER_PING)
        .keep_alive_timeout(PEER_PONG))
}
