//! The end that connects.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, Error};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::signatures::checks_signatures;
use super::{BINDING_LABEL, PROTOCOLS, PROVIDER};
use crate::limits::{HANDSHAKE_WITHIN, REFUSED_WITHIN};
use crate::proof::Binding;

/// What is sent as the server's name: which one is meant is nobody's business on the way, and judged by its certificate.
const SENT_NAME: &str = "server.minijob";

/// Connects with TLS. Clones are the same.
#[derive(Clone)]
pub struct Connector(Arc<ClientConfig>);

impl Connector {
    pub(super) fn new(config: Arc<ClientConfig>) -> Self {
        Self(config)
    }

    /// Shakes hands over a connection, within [`HANDSHAKE_WITHIN`]. When it returns, the server is the one that is meant; whether it
    /// takes our certificate is only known with its first answer. What is spoken then is HTTP/2.
    ///
    /// # Errors
    /// When the other side is not who is meant, or does not speak TLS; [`super::explain`] says it in words.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(SENT_NAME).map_err(io::Error::other)?;
        let shaken =
            timeout(HANDSHAKE_WITHIN, TlsConnector::from(self.0.clone()).connect(name, stream)).await;
        shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Connects once more to say why the other side at `host:port` ends connections: with TLS 1.3 it looks at our certificate when we are through, and the libraries
    /// above lose what it says then. None: it does not end them within [`REFUSED_WITHIN`], or for another reason.
    pub async fn refusal(&self, address: &str) -> Option<String> {
        let read = async {
            let mut stream = self.dial(address).await?;
            stream.read_u8().await
        };
        let refused = timeout(REFUSED_WITHIN, read).await.ok()?.err()?;
        super::explain(&refused)
    }

    /// Opens a connection to `host:port` and shakes hands. Each name's addresses are tried in turn.
    ///
    /// # Errors
    /// When nobody answers, and see [`Connector::connect`].
    pub async fn dial(&self, address: &str) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        self.connect(stream).await
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector(..)")
    }
}

/// Returns what both ends of a connection know and nobody between, for [`crate::proof`].
///
/// # Errors
/// Never on a connection whose handshake is over.
pub fn binding(stream: &TlsStream<TcpStream>) -> io::Result<Binding> {
    let exported = stream.get_ref().1.export_keying_material([0; 32], BINDING_LABEL, None);
    exported.map(Binding).map_err(io::Error::other)
}

/// Returns what connects to anybody who speaks TLS, and shows nothing. It protects from listeners only: whoever answers must prove over the
/// connection's [`binding`] that they have the cluster's key, before anything they say is used.
#[must_use]
pub fn unproven() -> Connector {
    believing_anybody(PROTOCOLS[0])
}

/// The same for another protocol.
pub(super) fn believing_anybody(protocol: &[u8]) -> Connector {
    let config = ClientConfig::builder_with_provider(PROVIDER.clone()).with_protocol_versions(&[&TLS13]);
    let config = config.expect("the provider has TLS 1.3");
    let mut config =
        config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    Connector::new(Arc::new(config))
}

/// Believes every certificate, but not that somebody has its key: that is checked, so that the handshake is with them.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    checks_signatures!();
}
