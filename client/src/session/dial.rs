//! Opens connections to servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use pki::tls::{Expected, in_words, is_of_another_ca};
use proto::wire::v1::agent_client::AgentClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::enrolment::{Membership, Trouble};
use crate::limits::{DIAL_PATIENCE, SERVER_MESSAGE_BYTES_MAX};

/// How often an idle connection is probed: half of the time in which a server declares a silent node lost.
const PROBE_EVERY: Duration = Duration::from_secs(2);

/// Why a server cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address is none.
    #[error("`{server}` is no address of a server")]
    Address {
        /// As configured, or as a server named it.
        server: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// There is no certificate to show.
    #[error("cannot enrol with the server {server}")]
    Enrol {
        /// Where.
        server: String,
        /// Why.
        source: Box<Trouble>,
    },
    /// Nobody answered there.
    #[error("cannot reach the server {server}")]
    Connect {
        /// Where.
        server: String,
        /// Why.
        source: tonic::transport::Error,
    },
}

/// How servers are reached, and what tells them who this is. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Way {
    token: Option<MetadataValue<Ascii>>,
    membership: Option<Membership>,
}

impl Way {
    /// By certificate, over TLS, for a member; else by the token, without.
    #[must_use]
    pub fn new(token: Option<&str>, membership: Option<Membership>) -> Self {
        let token = token.filter(|_| membership.is_none()).and_then(bearer);
        Self { token, membership }
    }

    /// Returns whether this agent shows a certificate, and speaks TLS.
    pub(super) fn is_member(&self) -> bool {
        self.membership.is_some()
    }

    /// Connects to `host:port`; a URL is taken as it is. A member that has no certificate gets one there first.
    pub(super) async fn dial(&self, server: &str) -> Result<AgentClient<Channel>, DialError> {
        let channel = match &self.membership {
            None => endpoint(server)?.connect().await,
            Some(membership) => {
                let addr = host_and_port(server);
                let not_enrolled =
                    |source| DialError::Enrol { server: server.to_owned(), source: Box::new(source) };
                membership.ensure(addr).await.map_err(not_enrolled)?;
                match secured(membership, endpoint(addr)?, addr).await {
                    Err(Insecure { is_of_another_ca: true, .. }) if membership.has_key() => {
                        membership.anew(addr).await.map_err(not_enrolled)?;
                        secured(membership, endpoint(addr)?, addr).await
                    }
                    result => result,
                }
                .map_err(|insecure| insecure.source)
            }
        };
        let channel = channel.map_err(|source| DialError::Connect { server: server.to_owned(), source })?;
        Ok(AgentClient::new(channel).max_decoding_message_size(SERVER_MESSAGE_BYTES_MAX))
    }

    /// Returns why a server takes nothing from this member, where it ends connections because of its certificate.
    pub(super) async fn refused(&self, server: &str) -> Option<String> {
        let connector = self.membership.as_ref()?.credentials().connector(Expected::default());
        connector.refusal(host_and_port(server)).await
    }

    /// A request that carries the token, if there is one.
    pub(super) fn request<T>(&self, body: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(body);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.clone());
        }
        request
    }
}

fn endpoint(server: &str) -> Result<Endpoint, DialError> {
    let url = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let endpoint = Endpoint::from_shared(url)
        .map_err(|source| DialError::Address { server: server.to_owned(), source })?;
    Ok(endpoint
        .connect_timeout(DIAL_PATIENCE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PROBE_EVERY)
        .keep_alive_timeout(DIAL_PATIENCE)
        .keep_alive_while_idle(true))
}

/// Why there is no connection with TLS.
struct Insecure {
    source: tonic::transport::Error,
    /// What answers has another CA. Libraries above pass on the text alone.
    is_of_another_ca: bool,
}

/// Connects to any server of the cluster that answers there: which one is its own to say, and only its CA makes servers.
async fn secured(membership: &Membership, endpoint: Endpoint, addr: &str) -> Result<Channel, Insecure> {
    let is_foreign = Arc::new(AtomicBool::new(false));
    let foreign = is_foreign.clone();
    let connector = membership.credentials().connector(Expected::default());
    let addr = addr.to_owned();
    let connect = service_fn(move |_| {
        let (connector, addr, foreign) = (connector.clone(), addr.clone(), foreign.clone());
        async move {
            let dialled = connector.dial(&addr).await;
            foreign.store(dialled.as_ref().is_err_and(is_of_another_ca), Ordering::Relaxed);
            // In words, before libraries above wrap it.
            dialled.map(TokioIo::new).map_err(in_words)
        }
    });
    let connected = endpoint.connect_with_connector(connect).await;
    connected.map_err(|source| Insecure { source, is_of_another_ca: is_foreign.load(Ordering::Relaxed) })
}

/// Returns what of an address a connection needs.
fn host_and_port(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.trim_end_matches('/')
}

/// The token as servers want it, kept out of all logs; none when the text cannot be one.
fn bearer(token: &str) -> Option<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().ok()?;
    value.set_sensitive(true);
    Some(value)
}
