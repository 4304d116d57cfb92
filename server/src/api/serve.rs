//! Accepting connections within limits: who has not shown a token yet has five seconds, and there are at most a thousand of them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use axum::routing::future::RouteFuture;
use bytes::Bytes;
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use pki::tls::{Acceptor, Peer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpConnectInfo;
use tower::Service;

use crate::limits;

/// The pause after an accept that failed for want of descriptors: others must end first.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Between two pings to a silent peer.
const PING: Duration = Duration::from_secs(10);
/// How long it may take to answer one.
const PONG: Duration = Duration::from_secs(5);

/// Whether a connection has shown that it belongs to the cluster. Until then it holds one of few places and ends soon.
#[derive(Debug)]
pub(super) struct Gate {
    place: Mutex<Option<OwnedSemaphorePermit>>,
    admitted: Notify,
    until: Instant,
}

impl Gate {
    fn new(place: OwnedSemaphorePermit, patience: Duration) -> Self {
        Self { place: Mutex::new(Some(place)), admitted: Notify::new(), until: Instant::now() + patience }
    }

    /// Gives the place free. A second call does nothing.
    pub(super) fn admit(&self) {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        if place.is_some() {
            self.admitted.notify_one();
        }
    }

    /// Returns when the time is over and nothing admitted the connection; never when something did.
    async fn refused(&self) {
        if timeout_at(self.until, self.admitted.notified()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    }
}

/// Serves connections until told to stop, then gives open requests [`limits::STOP_WITHIN`] to end.
///
/// With `tls` every connection begins with a handshake, and every request has its [`Peer`] among its extensions. A handshake takes one of the
/// places for strangers, so as many are under way at most, and counts into the time that a stranger has; who shows a member's
/// certificate is none.
pub async fn serve(
    listener: TcpListener,
    router: axum::Router,
    tls: Option<Acceptor>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits::STRANGERS_MAX));
    let connections = tokio_util::task::TaskTracker::new();
    // Whoever finds the queue full is turned away silently and tries again after a second, then three: the usual 128 fill in a
    // burst. Where it cannot be made longer it stays as it is.
    rustix::net::listen(&listener, limits::CONNECTIONS_QUEUED).ok();
    loop {
        // The kernel keeps who waits for a place; its queue is bounded as well.
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let gate = Arc::new(Gate::new(place, patience(places.available_permits())));
                let accepted = Accepted { peer, gate, router: router.clone(), stop: stop.clone() };
                connections.spawn(accepted.serve(stream, tls.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

/// How long a stranger may take, by the places that are left. Once half of them are taken it is little, so that who says nothing
/// makes those that come after it wait for a moment only: the kernel hands them over in their order.
fn patience(places_left: usize) -> Duration {
    let crowded = places_left < limits::STRANGERS_MAX / 2;
    if crowded { limits::FIRST_REQUEST_IN_A_CROWD } else { limits::FIRST_REQUEST_WITHIN }
}

/// Returns when a member is thrown out; never for who is none.
async fn thrown_out(tls: &Acceptor, id: Option<u64>) {
    match id {
        Some(id) => tls.until_denied(id).await,
        None => std::future::pending().await,
    }
}

/// A connection that has a place.
struct Accepted {
    peer: SocketAddr,
    gate: Arc<Gate>,
    router: axum::Router,
    stop: CancellationToken,
}

impl Accepted {
    async fn serve(self, stream: TcpStream, tls: Option<Acceptor>) {
        // Answers are small and somebody waits for each; where the option fails they are merely later.
        stream.set_nodelay(true).ok();
        let info = TcpConnectInfo { local_addr: stream.local_addr().ok(), remote_addr: Some(self.peer) };
        let Some(tls) = tls else { return self.connection(stream, info, None).await };
        let shaken = tokio::select! {
            shaken = tls.accept(stream) => shaken,
            () = self.gate.refused() => return,
            () = self.stop.cancelled() => return,
        };
        match shaken {
            Ok((stream, known)) => {
                let id = known.identity.as_ref().map(|identity| identity.member.id);
                if id.is_some() || known.knows_key {
                    self.gate.admit();
                }
                let peer = self.peer;
                tokio::select! {
                    () = self.connection(stream, info, Some(known)) => {}
                    // All that it has open here ends with it.
                    () = thrown_out(&tls, id) => tracing::info!(%peer, "a member was thrown out; its connection is closed"),
                }
            }
            // Anybody can cause it as often as they like.
            Err(error) => {
                let reason = pki::tls::explain(&error).unwrap_or_else(|| error.to_string());
                tracing::debug!(peer = %self.peer, reason, "a connection was not accepted");
            }
        }
    }

    async fn connection<S>(self, stream: S, info: TcpConnectInfo, known: Option<Peer>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, gate, router, stop } = self;
        let service = OfConnection { router, gate: gate.clone(), info, known };
        let builder = builder();
        let mut serving =
            pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
        let grace = tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, error, "a connection broke");
                }
                return;
            }
            () = gate.refused() => limits::STRANGER_ENDS_WITHIN,
            () = stop.cancelled() => limits::STOP_WITHIN,
        };
        serving.as_mut().graceful_shutdown();
        if timeout(grace, serving).await.is_err() {
            tracing::debug!(%peer, "a connection was cut off");
        }
    }
}

/// Adds to every request what it cannot say itself: its connection.
#[derive(Clone)]
struct OfConnection {
    router: axum::Router,
    gate: Arc<Gate>,
    info: TcpConnectInfo,
    known: Option<Peer>,
}

impl<B> Service<Request<B>> for OfConnection
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.router, context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.gate.clone());
        request.extensions_mut().insert(self.info.clone());
        if let Some(known) = &self.known {
            request.extensions_mut().insert(known.clone());
        }
        self.router.call(request)
    }
}

/// Limits for both protocols: time for the head of a request, bytes of it, streams beside each other.
fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::FIRST_REQUEST_WITHIN)
        .max_buf_size(limits::HTTP1_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .max_concurrent_streams(limits::STREAMS_PER_CONNECTION)
        .max_header_list_size(limits::HTTP2_HEAD_BYTES)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_have_little_time_once_half_of_the_places_are_taken() {
        let half = limits::STRANGERS_MAX / 2;
        assert_eq!(patience(limits::STRANGERS_MAX - 1), limits::FIRST_REQUEST_WITHIN);
        assert_eq!(patience(half), limits::FIRST_REQUEST_WITHIN);
        assert_eq!(patience(half - 1), limits::FIRST_REQUEST_IN_A_CROWD);
        assert_eq!(patience(0), limits::FIRST_REQUEST_IN_A_CROWD);
    }
}
