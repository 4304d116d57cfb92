//! TLS between members, and for people: version 1.3 alone, certificates of the cluster's CA alone, no session is ever resumed, so that
//! every connection is judged by what holds when it is made.

/// The end that is connected to.
mod accept;
/// The end that connects.
mod connect;
/// What a process shows, whom it believes, and both while it runs on.
mod credentials;
/// Whether what answers has another CA.
mod foreign;
/// Whether a peer is who it must be.
mod judge;
/// Proofs with the cluster's key at the beginning of a connection.
mod keyed;
/// How signatures are checked.
mod signatures;
/// The CAs that are believed.
mod trust;
/// What went wrong, for people.
mod words;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, ring};

pub use accept::{Acceptor, Peer, Rejected};
pub use connect::{Connector, binding, unproven};
pub use credentials::Credentials;
pub use foreign::is_of_another_ca;
pub use judge::{Expected, Mistrust};
pub use keyed::{KeyConnector, Keys};
/// A connection that was accepted.
pub use tokio_rustls::server::TlsStream as Accepted;
pub use trust::{BadTrust, Trust};
pub use words::{explain, in_words};

/// Named in every configuration, so that it does not matter what else a program installs.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));

/// What is exported from a handshake for [`crate::proof`]; not what RFC 9266 exports, which other programs may use.
const BINDING_LABEL: &[u8] = b"EXPORTER-minijob-proof";
/// gRPC, and the JSON endpoints.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

#[cfg(test)]
mod tests;
