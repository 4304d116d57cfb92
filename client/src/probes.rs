//! What machines ask an agent: is it well, and how much of everything is there. Off unless its owner names an address.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use proto::model::AllocState;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::agent::{Observer, Status};
use crate::limits::{PROBE_PATIENCE, PROBES_AT_ONCE};

/// A whole number that is never negative.
type Amount = Gauge<u64, AtomicU64>;
type Answer = Response<String>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// Answers `GET /health` to anybody and `GET /metrics` to who shows `token`, until `stop`. Returns when it listens.
///
/// `/health` is 200 and `{"status":"ok"}` while a server has this agent registered, else 503 and `no_server`: tasks run on then.
///
/// # Errors
/// When the runtime cannot take the listener.
pub async fn serve(
    listener: TcpListener,
    agent: Observer,
    token: Option<String>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let bearer: Arc<Option<String>> = Arc::new(token.map(|token| format!("Bearer {token}")));
    let places = Arc::new(Semaphore::new(PROBES_AT_ONCE));
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        // The kernel keeps who waits for a place; the semaphore is never closed.
        while let Ok(place) = places.clone().acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(PROBE_PATIENCE / 10).await;
                continue;
            };
            let (agent, bearer) = (agent.clone(), bearer.clone());
            tokio::spawn(async move {
                // Whoever is slow loses the place; there is nothing to tell.
                let _ = tokio::time::timeout(PROBE_PATIENCE, connection(stream, agent, bearer)).await;
                drop(place);
            });
        }
    }));
    Ok(())
}

async fn connection(stream: TcpStream, agent: Observer, bearer: Arc<Option<String>>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let (agent, bearer) = (agent.clone(), bearer.clone());
        async move { Ok::<_, Infallible>(answer(&request, &agent, bearer.as_deref()).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).keep_alive(false).max_buf_size(16 << 10);
    // A peer that hangs up has its answer or does not want it.
    let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer<B>(request: &Request<B>, agent: &Observer, bearer: Option<&str>) -> Answer {
    let known = matches!(request.uri().path(), "/health" | "/metrics");
    if !known {
        return said(StatusCode::NOT_FOUND, "there is /health and /metrics\n");
    }
    if request.method() != Method::GET {
        return said(StatusCode::METHOD_NOT_ALLOWED, "GET is all that there is\n");
    }
    let metrics = request.uri().path() == "/metrics";
    if metrics && !shows(request, bearer) {
        return said(StatusCode::FORBIDDEN, "show the agent's token: `Authorization: Bearer TOKEN`\n");
    }
    match agent.status().await {
        Ok(status) if metrics => {
            let mut answer = said(StatusCode::OK, &render(&status));
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
            answer
        }
        Ok(status) => health(status.link.server.is_some()),
        Err(_) => said(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending\n"),
    }
}

/// Whether a request brings the token. Both are compared whole, whatever the first difference is.
fn shows<B>(request: &Request<B>, bearer: Option<&str>) -> bool {
    let brought = request.headers().get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    let (Some(brought), Some(bearer)) = (brought, bearer.map(str::as_bytes)) else { return false };
    let differences = brought.iter().zip(bearer).fold(0, |sum, (a, b)| sum | (a ^ b));
    brought.len() == bearer.len() && differences == 0
}

fn health(registered: bool) -> Answer {
    let (code, word) =
        if registered { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "no_server") };
    let mut answer = said(code, &format!("{{\"status\":\"{word}\"}}\n"));
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}

fn said(code: StatusCode, body: &str) -> Answer {
    let mut answer = Response::new(body.to_owned());
    *answer.status_mut() = code;
    answer
}

/// Writes the numbers of an agent in the OpenMetrics text format.
fn render(status: &Status) -> String {
    let mut registry = Registry::with_prefix("minijob_agent");
    let mut set = |name: &str, help: &str, value: u64| {
        let amount = Amount::default();
        amount.set(value);
        registry.register(name, help, amount);
    };
    let registered = u64::from(status.link.server.is_some());
    set("registered", "1 while a server has this agent registered", registered);
    set("unreported", "Allocations of which servers have still to learn something", status.unreported as u64);
    let mut counts: BTreeMap<&'static str, u64> = STATES.iter().map(|state| (state.word(), 0)).collect();
    for view in status.allocs.values() {
        *counts.entry(view.status.state.word()).or_default() += 1;
    }
    let allocs: Family<StateLabels, Amount> = Family::default();
    for (state, count) in counts {
        allocs.get_or_create(&StateLabels { state }).set(count);
    }
    registry.register("allocations", "Allocations kept on this node, by state", allocs);
    let mut out = String::new();
    if let Err(error) = text::encode(&mut out, &registry) {
        tracing::error!(%error, "metrics could not be written");
    }
    out
}

const STATES: [AllocState; 8] = [
    AllocState::Pending,
    AllocState::Preparing,
    AllocState::Starting,
    AllocState::Running,
    AllocState::Stopping,
    AllocState::Complete,
    AllocState::Failed,
    AllocState::Stopped,
];

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::agent::{Agent, Config};
    use crate::driver::mock::Mock;

    async fn ask(address: std::net::SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head}\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn anybody_may_ask_how_it_is_and_only_who_shows_the_token_how_much() {
        let dir = tempfile::tempdir().unwrap();
        let agent =
            Agent::start(Config::new(dir.path().to_owned()), Arc::new(Mock::default())).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        serve(listener, agent.observer(), Some("s3cret".into()), stop.clone()).await.unwrap();

        let health = ask(address, "GET /health HTTP/1.1").await;
        assert!(health.starts_with("HTTP/1.1 503") && health.contains("no_server"), "{health}");
        for head in ["GET /metrics HTTP/1.1", "GET /metrics HTTP/1.1\r\nAuthorization: Bearer s3creT"] {
            let refused = ask(address, head).await;
            assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
        }
        let metrics = ask(address, "GET /metrics HTTP/1.1\r\nAuthorization: Bearer s3cret").await;
        assert!(metrics.contains("minijob_agent_registered 0\n"), "{metrics}");
        assert!(metrics.contains("minijob_agent_allocations{state=\"running\"} 0\n"), "{metrics}");
        assert!(ask(address, "GET / HTTP/1.1").await.starts_with("HTTP/1.1 404"));
        assert!(ask(address, "POST /health HTTP/1.1").await.starts_with("HTTP/1.1 405"));
        stop.cancel();
        agent.stop().await;
    }

    #[test]
    fn an_agent_that_is_registered_is_well() {
        assert_eq!(health(true).status(), StatusCode::OK);
    }
}
