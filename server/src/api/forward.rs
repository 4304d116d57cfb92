//! Requests that only the leader answers, on any server: they are passed on whole, once.
//!
//! A request keeps its method, path, body and request id; the leader is told who asked. What the connection breaks under is unknown, not
//! refused: nobody knows whether the leader did it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use proto::error::{Error, Kind};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tower::{Service, ServiceExt};

use super::Context;
use super::access::refuse;
use crate::limits::{LAST_ANSWERS_WITHIN, LEADER_WITHIN};
use crate::ops::Caller;
use crate::raft::{Dial, Leadership, Purpose};

/// The header that names who asked; only a server may send it.
pub(super) const ACTOR: HeaderName = HeaderName::from_static("minijob-actor");
/// The header, and for HTTP the parameter, that asks for what this server has, be it old.
pub(super) const STALE: &str = "minijob-stale";

/// What to do about an answer that did not come.
const AGAIN: &str = "try again with the same request id: another server leads soon";

/// Headers of one connection, and those that this server answers for itself: the rest goes along.
const NOT_PASSED_ON: [HeaderName; 10] = [
    header::CONNECTION,
    header::HOST,
    header::ORIGIN,
    header::AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    ACTOR,
];

/// The way to the leader. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Forward {
    dial: Arc<dyn Dial>,
    /// To who led when it was last needed.
    leader: Arc<Mutex<Option<(String, Channel)>>>,
}

impl Forward {
    /// Makes a way that connects when it is first needed.
    #[must_use]
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        Self { dial, leader: Arc::default() }
    }

    fn to(&self, addr: &str) -> Result<Channel, Error> {
        let mut leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, channel)) = leader.as_ref().filter(|(known, _)| known == addr) {
            return Ok(channel.clone());
        }
        let channel = self.dial.dial(addr, Purpose::Calls);
        let channel = channel.map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        *leader = Some((addr.to_owned(), channel.clone()));
        Ok(channel)
    }
}

/// Whether a request is answered by any server from what it has: probes, what it measures itself, agents, who are told where to go, and
/// who the servers are, which matters most when nobody leads.
fn is_local(path: &str) -> bool {
    let rest = path.strip_prefix("/minijob.v1.");
    match rest {
        Some(rest) => {
            !rest.starts_with("Control/") || matches!(rest, "Control/Version" | "Control/ListServers")
        }
        None => matches!(path, "/health" | "/metrics" | "/v1/version" | "/v1/servers" | "/v1/openapi.json"),
    }
}

/// Turns the parameter `stale` into the header, so that no endpoint need know it.
pub(super) fn take_stale(request: &mut Request) {
    let uri = request.uri();
    let Some(query) = uri.query().filter(|query| query.contains("stale")) else { return };
    let asks = |part: &&str| matches!(*part, "stale" | "stale=true");
    if !query.split('&').any(|part| asks(&part)) {
        return;
    }
    let rest: Vec<&str> = query.split('&').filter(|part| !asks(part)).collect();
    let path =
        if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), rest.join("&")) };
    if let Ok(uri) = Uri::try_from(path) {
        *request.uri_mut() = uri;
        request.headers_mut().insert(STALE, HeaderValue::from_static("true"));
    }
}

/// Whether a request is content with what this server has.
fn is_stale(request: &Request) -> bool {
    request.headers().get(STALE).is_some_and(|value| value == "true")
}

/// What of a request decides where it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    local: bool,
    reads: bool,
    was_passed_on: bool,
}

impl Ask {
    /// Reads it.
    pub(super) fn of(request: &Request) -> Self {
        Self {
            local: is_local(request.uri().path()) || is_stale(request),
            reads: reads(request),
            was_passed_on: request.headers().contains_key(ACTOR),
        }
    }
}

/// Returns where a request has to go; none: it is answered here.
///
/// # Errors
/// `not_leader` when nobody leads, or the request was passed on already; `unavailable` when no majority confirms that this server leads.
pub(super) async fn destination(context: &Context, ask: Ask) -> Result<Option<String>, Error> {
    if ask.local {
        return Ok(None);
    }
    // An election takes a moment, and whoever waits for it need not ask again.
    let mut leadership = context.cluster.leadership();
    let led = leadership.wait_for(|now| now.leading || now.leader.is_some());
    let leadership = timeout(LEADER_WITHIN, led)
        .await
        .ok()
        .and_then(Result::ok)
        .map(|now| now.clone())
        .unwrap_or_default();
    if leadership.leading {
        // A write proves by itself that this server leads.
        if ask.reads {
            context.cluster.confirm_lead().await?;
        }
        return Ok(None);
    }
    match leadership.leader {
        // One hop: two servers that disagree about who leads must not send a request in a circle.
        Some(addr) if ask.was_passed_on => {
            Err(Error::new(Kind::NotLeader, "another server leads by now").hint(addr))
        }
        Some(addr) => Ok(Some(addr)),
        None => Err(Error::new(Kind::NotLeader, "no server leads at the moment")
            .hint("`minijob server members` shows who is missing")),
    }
}

/// Whether a request only reads.
fn reads(request: &Request) -> bool {
    match request.uri().path().strip_prefix("/minijob.v1.Control/") {
        Some(name) => {
            ["Get", "List"].iter().any(|verb| name.starts_with(verb))
                || name.ends_with("Status")
                || matches!(name, "JobHistory" | "ExportJob" | "Why")
        }
        None => matches!(*request.method(), Method::GET | Method::HEAD),
    }
}

/// Passes a request on to the leader and returns its answer as it comes.
///
/// A machine that vanishes ends no connection. Who asked it is let go as soon as somebody else leads.
pub(super) async fn pass_on(context: &Context, caller: &Caller, addr: &str, request: Request) -> Response {
    let grpc = request.uri().path().starts_with("/minijob.v1.");
    let leadership = context.cluster.leadership();
    let answered = tokio::select! {
        answered = try_pass_on(&context.forward, caller, addr, request) => answered,
        () = succeeded(leadership, addr) => {
            let why = format!("the server that led, at {addr}, has not answered, and does not lead any more");
            Err(Error::new(Kind::Unavailable, why).hint(AGAIN))
        }
    };
    answered.unwrap_or_else(|error| refuse(grpc, error))
}

/// Waits until another server leads, and what the one before has answered is here.
async fn succeeded(mut leadership: watch::Receiver<Leadership>, addr: &str) {
    let by_another =
        |now: &Leadership| now.leading || now.leader.as_deref().is_some_and(|leader| leader != addr);
    if leadership.wait_for(by_another).await.is_err() {
        return std::future::pending().await;
    }
    sleep(LAST_ANSWERS_WITHIN).await;
}

async fn try_pass_on(
    forward: &Forward,
    caller: &Caller,
    addr: &str,
    mut request: Request,
) -> Result<Response, Error> {
    let mut channel = forward.to(addr)?;
    for name in &NOT_PASSED_ON {
        request.headers_mut().remove(name);
    }
    let actor = HeaderValue::from_str(&caller.actor);
    let actor =
        actor.map_err(|_| Error::new(Kind::Internal, "the caller has a name that no header can carry"))?;
    request.headers_mut().insert(ACTOR, actor);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() =
        Uri::try_from(path).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    *request.version_mut() = http::Version::HTTP_2;
    let unreached = |error: tonic::transport::Error| {
        let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        Error::new(Kind::Unavailable, format!("the server that leads, at {addr}, does not answer: {why}"))
            .hint(AGAIN)
    };
    let ready = channel.ready().await.map_err(unreached)?;
    let response = ready.call(request.map(tonic::body::Body::new)).await.map_err(unreached)?;
    Ok(response.map(Body::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: Method, path: &str) -> Request {
        Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
    }

    fn led_by(leader: Option<&str>) -> Leadership {
        Leadership { leader: leader.map(str::to_owned), ..Leadership::default() }
    }

    #[tokio::test]
    async fn who_waits_for_a_leader_is_let_go_when_another_leads_and_not_before() {
        let (raft, leadership) = watch::channel(led_by(Some("a:1")));
        let waiting = tokio::spawn(succeeded(leadership, "a:1"));
        for now in [led_by(None), led_by(Some("a:1"))] {
            raft.send_replace(now);
            sleep(LAST_ANSWERS_WITHIN * 2).await;
            assert!(!waiting.is_finished(), "nobody else could answer");
        }
        raft.send_replace(led_by(Some("b:1")));
        sleep(LAST_ANSWERS_WITHIN / 2).await;
        assert!(!waiting.is_finished(), "its last answers may be on their way");
        assert!(timeout(LAST_ANSWERS_WITHIN * 10, waiting).await.is_ok());
    }

    #[test]
    fn what_says_who_is_there_is_answered_everywhere() {
        for path in [
            "/health",
            "/metrics",
            "/v1/servers",
            "/minijob.v1.Control/ListServers",
            "/minijob.v1.Agent/Session",
        ] {
            assert!(is_local(path), "{path}");
        }
        for path in ["/", "/v1/jobs", "/minijob.v1.Control/PutJob", "/minijob.v1.Control/Logs", "/v1/health"]
        {
            assert!(!is_local(path), "{path}");
        }
    }

    #[test]
    fn the_parameter_stale_becomes_the_header_and_the_rest_stays() {
        let mut request = of(Method::GET, "/v1/jobs?namespace=a&stale=true");
        take_stale(&mut request);
        assert!(is_stale(&request));
        assert_eq!(request.uri().to_string(), "/v1/jobs?namespace=a");
        let mut request = of(Method::GET, "/v1/jobs?stale");
        take_stale(&mut request);
        assert!(is_stale(&request) && request.uri().query().is_none());
        let mut request = of(Method::GET, "/v1/jobs?namespace=stale");
        take_stale(&mut request);
        assert!(!is_stale(&request) && request.uri().query() == Some("namespace=stale"));
    }

    #[test]
    fn reads_are_told_from_what_changes_something() {
        for name in ["ListJobs", "JobStatus", "AllocStatus", "NodeStatus", "GetSetting", "JobHistory", "Why"]
        {
            assert!(reads(&of(Method::POST, &format!("/minijob.v1.Control/{name}"))), "{name}");
        }
        for name in ["PutJob", "StopJob", "Signal", "Exec", "PlanJob"] {
            assert!(!reads(&of(Method::POST, &format!("/minijob.v1.Control/{name}"))), "{name}");
        }
        assert!(reads(&of(Method::GET, "/v1/jobs")) && !reads(&of(Method::POST, "/v1/jobs")));
    }
}
