//! The way to a server: plain where one is alone on loopback, by TLS and a certificate of one's own where there are several. What passes
//! on a connection is counted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use pki::tls::{Credentials, Expected};
use pki::{Member, Role, asked};
use proto::model::NodeIdentity;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// What a message to an agent may have: the complete set of a full machine.
pub(crate) const MESSAGE_BYTES: usize = proto::limits::MESSAGE_BYTES;

/// Bytes that went and came on connections, without what TLS and TCP add.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passed(Arc<[AtomicU64; 2]>);

impl Passed {
    /// Sent and received.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.0[0].load(Ordering::Relaxed), self.0[1].load(Ordering::Relaxed))
    }
}

/// How a server is reached, by a person and by agents. Clones are the same.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) addr: String,
    pub(crate) token: String,
    pub(crate) secured: Option<Secured>,
    pub(crate) passed: Passed,
}

/// What is known of a cluster that speaks TLS.
#[derive(Clone)]
pub(crate) struct Secured {
    /// A person, who believes its CA.
    pub(crate) person: Credentials,
    /// The key, as agents enrol with it.
    pub(crate) secret: [u8; 32],
}

impl Way {
    /// Connects as a person does.
    ///
    /// # Errors
    /// When nobody listens.
    pub(crate) async fn connect(&self) -> Result<Channel, String> {
        self.connect_with(self.secured.as_ref().map(|secured| &secured.person)).await
    }

    /// Connects as that agent, which enrols first where there are certificates.
    ///
    /// # Errors
    /// When nobody listens, or none is given.
    pub(crate) async fn connect_as(&self, agent: &NodeIdentity) -> Result<Channel, String> {
        let Some(secured) = &self.secured else { return self.connect().await };
        let member = Member { role: Role::Agent, name: agent.name.clone(), id: agent.id.0 };
        let enrolled = asked::enrol(&self.addr, &[secured.secret], &[], &member, &[]).await;
        let enrolled = enrolled.map_err(|error| error.to_string())?;
        self.connect_with(Some(&Credentials::of_member(enrolled.own, enrolled.trust))).await
    }

    async fn connect_with(&self, credentials: Option<&Credentials>) -> Result<Channel, String> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.addr)).expect("an address is a URL");
        let (addr, passed) = (self.addr.clone(), self.passed.clone());
        let connected = match credentials.map(|credentials| credentials.connector(Expected::default())) {
            None => {
                let dial = service_fn(move |_| {
                    let (addr, passed) = (addr.clone(), passed.clone());
                    async move {
                        let stream = TcpStream::connect(addr).await?;
                        stream.set_nodelay(true)?;
                        Ok::<_, io::Error>(TokioIo::new(Counted { stream, passed }))
                    }
                });
                endpoint.connect_with_connector(dial).await
            }
            Some(connector) => {
                let dial = service_fn(move |_| {
                    let (connector, addr, passed) = (connector.clone(), addr.clone(), passed.clone());
                    async move {
                        let stream = connector.dial(&addr).await?;
                        Ok::<_, io::Error>(TokioIo::new(Counted { stream, passed }))
                    }
                });
                endpoint.connect_with_connector(dial).await
            }
        };
        connected.map_err(|error| error.to_string())
    }

    /// Adds the token to a request.
    pub(crate) fn request<T>(&self, body: T) -> Request<T> {
        crate::control::with_token(body, &self.token)
    }

    /// The same for what only members ask: where there are certificates they say who asks.
    pub(crate) fn request_of_agent<T>(&self, body: T) -> Request<T> {
        if self.secured.is_some() { Request::new(body) } else { self.request(body) }
    }
}

/// A connection that counts.
struct Counted<S> {
    stream: S,
    passed: Passed,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(context, into);
        self.passed.0[1].fetch_add((into.filled().len() - before) as u64, Ordering::Relaxed);
        done
    }
}

impl<S: AsyncWrite + Unpin> Counted<S> {
    fn sent(&self, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &done {
            self.passed.0[0].fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        done
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.sent(done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
