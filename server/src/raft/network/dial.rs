//! How a server connects to another one: without TLS on loopback, else with it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use pki::tls::{Credentials, Expected, explain};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
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

    /// Returns what every call shows to be let in. Nothing by default.
    fn bearer(&self) -> Bearer {
        Bearer::default()
    }
}

/// What shows a server that a server calls; it is put on every call, and never shown otherwise.
#[derive(Clone, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// Shows that secret, which must be letters and digits.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        let value = format!("Bearer {secret}").parse::<MetadataValue<Ascii>>().ok();
        Self(value.map(|mut value| {
            value.set_sensitive(true);
            value
        }))
    }

    /// Returns the value of the header `authorization`.
    #[must_use]
    pub fn header(&self) -> Option<&MetadataValue<Ascii>> {
        self.0.as_ref()
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Connections of another kind that show the servers' secret on every call: to be put around connections without TLS on loopback only.
#[derive(Clone, Debug)]
pub struct Keyed {
    /// How connections are made.
    pub dial: Arc<dyn Dial>,
    /// What is shown.
    pub bearer: Bearer,
}

impl Dial for Keyed {
    fn dial(&self, addr: &str, purpose: Purpose) -> Result<Channel, BadAddress> {
        self.dial.dial(addr, purpose)
    }

    fn dial_server(&self, id: u64, addr: &str, purpose: Purpose) -> Result<Channel, BadAddress> {
        self.dial.dial_server(id, addr, purpose)
    }

    fn bearer(&self) -> Bearer {
        self.bearer.clone()
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
        let (addr, told) = (Arc::<str>::from(addr), Arc::new(Told::default()));
        let endpoint = endpoint(&addr)?;
        let connect = service_fn(move |_| {
            let (connector, addr, told) = (connector.clone(), addr.clone(), told.clone());
            async move {
                let dialled = connector.dial(&addr).await;
                told.note(&addr, dialled.as_ref().err());
                dialled.map(TokioIo::new)
            }
        });
        Ok(endpoint.connect_with_connector_lazy(connect))
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
