//! How a server connects to another one. The only place that TLS has to change.

use std::fmt;

use tonic::transport::{Channel, Endpoint};

use crate::limits::{PEER_CONNECT_WITHIN, PEER_PING, PEER_PONG};

/// What a connection is for. They are separate so that a snapshot never delays a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Entries, heartbeats and votes.
    Log,
    /// Snapshots; and, while the other one is full of entries, that the leader lives.
    Snapshots,
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
