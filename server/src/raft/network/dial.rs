//! How a server connects to another one. The only place that TLS has to change.

use std::fmt;
use std::sync::Arc;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

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

/// Connections of another kind that show the servers' secret on every call.
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
