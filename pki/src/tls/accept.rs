//! The end that is connected to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::keyed::{self, Keys};
use super::{BINDING_LABEL, Credentials};
use crate::identity::{self, Identity};
use crate::limits::HANDSHAKE_WITHIN;
use crate::member::Role;
use crate::proof::Binding;

/// Every TLS connection begins with a record of this kind; no text does.
const HANDSHAKE: u8 = 22;
/// For who speaks HTTP without TLS to a port that has it.
const USE_TLS: &str = "this port speaks TLS: ask https:// instead of http://, with the cluster's ca.pem\n";

/// Accepts connections with TLS. Clones are the same.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    credentials: Credentials,
    keys: Option<Keys>,
}

/// Who is at the other end of a connection: a request's extension, so that handlers know.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The member that it has proven to be; none for people, who show no certificate and bring a token.
    pub identity: Option<Identity>,
    /// Whether it has proven that it has the cluster's key ([`super::KeyConnector`]); which member it is, is not known then.
    pub knows_key: bool,
    /// For proofs with the cluster's key.
    pub binding: Binding,
}

/// Why a connection was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// It speaks without TLS, and was told.
    #[error("it speaks without TLS")]
    Plain,
    /// It took too long.
    #[error("the TLS handshake took longer than {HANDSHAKE_WITHIN:?}")]
    Slow,
    /// It has another key of a cluster, or none.
    #[error("it does not have the cluster's key")]
    Key,
    /// The handshake failed.
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
}

impl Peer {
    /// Returns whether it has proven to be a member with that role.
    #[must_use]
    pub fn is(&self, role: Role) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.member.role == role)
    }
}

impl Acceptor {
    pub(super) fn new(config: Arc<ServerConfig>, credentials: Credentials, keys: Option<Keys>) -> Self {
        Self { tls: config.into(), credentials, keys }
    }

    /// Returns when the member with that id is thrown out; never when it is not.
    pub async fn until_denied(&self, id: u64) {
        self.credentials.until_denied(id).await;
    }

    /// Shakes hands within [`HANDSHAKE_WITHIN`]. To be called from a task of its own, because the other side may be slow; how many
    /// are under way is the caller's to bound.
    ///
    /// # Errors
    /// See [`Rejected`].
    pub async fn accept(&self, stream: TcpStream) -> Result<(TlsStream<TcpStream>, Peer), Rejected> {
        let shaken = timeout(HANDSHAKE_WITHIN, self.shake(stream)).await;
        shaken.unwrap_or(Err(Rejected::Slow))
    }

    async fn shake(&self, mut stream: TcpStream) -> Result<(TlsStream<TcpStream>, Peer), Rejected> {
        let mut first = [0];
        let peeked = stream.peek(&mut first).await.map_err(Rejected::Handshake)?;
        if peeked == 1 && first[0] != HANDSHAKE {
            decline(&mut stream).await;
            return Err(Rejected::Plain);
        }
        let mut stream = self.tls.accept(stream).await.map_err(Rejected::Handshake)?;
        let mut peer = peer(&stream).map_err(Rejected::Handshake)?;
        if let Some(keys) = self.keys.as_ref().filter(|_| is_keyed(&stream)) {
            let known = keyed::answer(&mut stream, &peer.binding, keys).await.map_err(Rejected::Handshake)?;
            if !known {
                // Who called reads why, and then nothing more.
                stream.shutdown().await.ok();
                return Err(Rejected::Key);
            }
            peer.knows_key = true;
        }
        Ok((stream, peer))
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor(..)")
    }
}

fn is_keyed(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(keyed::PROTOCOL)
}

fn peer(stream: &TlsStream<TcpStream>) -> io::Result<Peer> {
    let connection = stream.get_ref().1;
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    // It was read and judged in the handshake; what cannot be read did not come so far.
    let identity =
        shown.map(|certificate| identity::read(certificate)).transpose().map_err(io::Error::other)?;
    let exported =
        connection.export_keying_material([0; 32], BINDING_LABEL, None).map_err(io::Error::other)?;
    Ok(Peer { identity, knows_key: false, binding: Binding(exported) })
}

/// Says in HTTP that this is no HTTP. It is read before, or the answer is lost with the connection.
async fn decline(stream: &mut TcpStream) {
    let (mut seen, mut total) = ([0; 1024], 0);
    let read = async {
        // A head has an end that is easily seen, and nobody needs more than that of it.
        loop {
            stream.readable().await?;
            match stream.try_read(&mut seen) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    total += count;
                    if total > 16 << 10 || seen[..count].windows(4).any(|part| part == b"\r\n\r\n") {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    timeout(Duration::from_secs(1), read).await.ok();
    let length = USE_TLS.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{USE_TLS}"
    );
    // Who does not wait for the answer does not miss it.
    let write = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    write.await.ok();
}
