//! Opens connections to servers.

use std::time::Duration;

use proto::wire::v1::agent_client::AgentClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

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
    /// Nobody answered there.
    #[error("cannot reach the server {server}")]
    Connect {
        /// Where.
        server: String,
        /// Why.
        source: tonic::transport::Error,
    },
}

/// Connects to `host:port`; a URL is taken as it is.
pub(super) async fn dial(server: &str) -> Result<AgentClient<Channel>, DialError> {
    let url = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let endpoint = Endpoint::from_shared(url)
        .map_err(|source| DialError::Address { server: server.to_owned(), source })?
        .connect_timeout(DIAL_PATIENCE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PROBE_EVERY)
        .keep_alive_timeout(DIAL_PATIENCE)
        .keep_alive_while_idle(true);
    let channel = endpoint
        .connect()
        .await
        .map_err(|source| DialError::Connect { server: server.to_owned(), source })?;
    Ok(AgentClient::new(channel).max_decoding_message_size(SERVER_MESSAGE_BYTES_MAX))
}

/// The token as servers want it, kept out of all logs; none when the text cannot be one.
pub(super) fn bearer(token: &str) -> Option<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A request that carries the token.
pub(super) fn request<T>(body: T, token: Option<&MetadataValue<Ascii>>) -> tonic::Request<T> {
    let mut request = tonic::Request::new(body);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token.clone());
    }
    request
}
