//! Who may ask what: one layer before everything else maps a path to the capability that it requires.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, Uri, header};
use pki::tls::Peer;
use pki::{Member, Role};
use proto::error::{Error, Kind};
use proto::token;
use subtle::ConstantTimeEq;

use super::http::Failure;
use super::serve::Gate;
use super::{Context, forward};
use crate::core::state::OperatorToken;
use crate::enrolment::Enrolment;
use crate::ops::{Caller, Capabilities, Capability};

/// Every gRPC path begins so.
const GRPC: &str = "/minijob.v1.";
/// The service of who wants a certificate.
const ENROL: &str = "/minijob.v1.Enrol/";
/// The one order that the cluster's key allows without a token.
const SET_TOKEN: &str = "/minijob.v1.Control/SetOperatorToken";

/// Refuses what a browser was tricked into sending, and who brings no token; else adds the [`Caller`] and goes on.
pub(super) async fn check(State(context): State<Context>, mut request: Request, next: Next) -> Response {
    let grpc = request.uri().path().starts_with(GRPC);
    let response = match admit(&context, &request) {
        Ok(None) => next.run(request).await,
        Ok(Some(caller)) => {
            if let Some(gate) = request.extensions().get::<Arc<Gate>>() {
                gate.admit();
            }
            forward::take_stale(&mut request);
            match forward::destination(&context, forward::Ask::of(&request)).await {
                Ok(Some(leader)) => forward::pass_on(&context, &caller, &leader, request).await,
                Ok(None) => {
                    request.extensions_mut().insert(caller);
                    next.run(request).await
                }
                Err(error) => refuse(grpc, error),
            }
        }
        Err(error) => refuse(grpc, error),
    };
    context.metrics.count_request(if grpc { "grpc" } else { "http" }, response.status());
    response
}

/// Says no in the caller's protocol.
pub(super) fn refuse(grpc: bool, error: Error) -> Response {
    if grpc {
        tonic::Status::from(error).into_http::<axum::body::Body>()
    } else {
        Failure(error).into_response()
    }
}

/// Returns who asks; none for what anybody may ask.
fn admit(context: &Context, request: &Request) -> Result<Option<Caller>, Error> {
    let (path, peer) = (request.uri().path(), request.extensions().get::<Peer>());
    if let Some(identity) = peer.and_then(|peer| peer.identity.as_ref()) {
        still_a_member(context, &identity.member)?;
    }
    if is_of_servers(path) {
        // No browser knows what is shown here, and a server may be reached by a name that it does not know.
        return server(path, peer).map(Some);
    }
    // No browser has a member's certificate or asks for one, and a member may reach this server by a name that it does not know.
    let is_member =
        path.starts_with(ENROL) || peer.is_some_and(|peer| peer.identity.is_some() || peer.knows_key);
    if !is_member {
        let host = host(request.uri(), request.headers())?;
        check_host(&context.hosts, &host)?;
        check_origin(&host, request.headers())?;
    }
    let Some(capability) = required(request.method(), path) else { return Ok(None) };
    let caller = match peer.and_then(|peer| peer.identity.as_ref()) {
        Some(identity) => of_member(&identity.member, path, request.headers())?,
        // Who has the key may become a server, and so do everything: it is what helps where the token was lost.
        None if path == SET_TOKEN && peer.is_some_and(|peer| peer.knows_key) => Caller::operator(),
        None if peer.is_some() && is_for_agents(path) => return Err(no_member()),
        None => identify(context, request.headers())?,
    };
    caller.need(capability)?;
    check_body(request)?;
    Ok(Some(caller))
}

/// Refuses who was thrown out on a connection that it still has.
fn still_a_member(context: &Context, member: &Member) -> Result<(), Error> {
    if context.members.as_ref().is_some_and(|members| members.denies(member.id)) {
        let error = Error::new(Kind::Forbidden, format!("{member} was thrown out of the cluster"));
        return Err(error.hint("`minijob operator member allow`, with its name or its id, takes that back"));
    }
    Ok(())
}

/// Returns what a path requires; none: nothing. What is not named here requires a token too, so that asking for a path tells
/// a stranger nothing about it.
fn required(method: &Method, path: &str) -> Option<Capability> {
    // Who wants a first certificate has nothing to show but the key, which the service looks at.
    if path == "/health" || path == "/minijob.v1.Enrol/Enrol" {
        return None;
    }
    Some(match path.strip_prefix(GRPC) {
        Some(
            "Control/PutJob"
            | "Control/StopJob"
            | "Control/ScaleJob"
            | "Control/StartJob"
            | "Control/RevertJob"
            | "Control/RestartJob"
            | "Control/RestartAlloc"
            | "Control/PlanJob"
            | "Control/Signal",
        ) => Capability::Submit,
        Some(
            "Control/SetEligibility"
            | "Control/PurgeNode"
            | "Control/DrainNode"
            | "Control/RemoveServer"
            | "Control/ReleaseBrake"
            | "Control/DenyMember"
            | "Control/AllowMember"
            | "Control/SetOperatorToken",
        ) => Capability::Operator,
        Some("Control/Exec") => Capability::Exec,
        Some(rest) if rest.starts_with("Control/") => Capability::Read,
        Some(rest) if rest.starts_with("Agent/") || rest == "Enrol/Renew" => Capability::Node,
        Some(_) if is_of_servers(path) => Capability::Peer,
        Some(_) => Capability::Operator,
        None if *method == Method::GET || *method == Method::HEAD => Capability::Read,
        None if ["/v1/nodes/", "/v1/servers/", "/v1/brake/", "/v1/members/", "/v1/operator/"]
            .iter()
            .any(|below| path.starts_with(below)) =>
        {
            Capability::Operator
        }
        None => Capability::Submit,
    })
}

/// Whether servers call that path, and nobody else.
fn is_of_servers(path: &str) -> bool {
    let rest = path.strip_prefix(GRPC);
    rest.is_some_and(|rest| rest.starts_with("Raft/") || rest.starts_with("Peer/"))
}

/// Lets in servers of this cluster: to the log by their certificates, to greet by the cluster's key, because who joins has no certificate
/// yet. No token opens either, and without TLS both are shut.
fn server(path: &str, peer: Option<&Peer>) -> Result<Caller, Error> {
    let is_greeting = path.strip_prefix(GRPC).is_some_and(|rest| rest.starts_with("Peer/"));
    match peer {
        Some(peer) if is_greeting && peer.knows_key => Ok(Caller::peer()),
        Some(peer) if !is_greeting && peer.is(Role::Server) => Ok(Caller::peer()),
        Some(Peer { identity: Some(identity), .. }) if !is_greeting => {
            let error =
                Error::new(Kind::Forbidden, format!("only a server may ask this, not {}", identity.member));
            Err(error.hint("only servers of this cluster may ask this"))
        }
        Some(_) if is_greeting => {
            let error =
                Error::new(Kind::Forbidden, "the caller does not have the key of this server's cluster");
            Err(error.hint("give all servers of a cluster the same key file"))
        }
        Some(_) => Err(no_member()),
        None => {
            let error = Error::new(Kind::Forbidden, "this server has no key, so no other server may call it");
            Err(error.hint("start it with --key-file and the key file of the other servers"))
        }
    }
}

/// Returns what follows `Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let bytes = headers.get(header::AUTHORIZATION)?.as_bytes();
    let scheme = bytes.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    scheme.map(|_| bytes[7..].trim_ascii())
}

/// Whether agents call that path, and nobody else: on a port with TLS no token opens it, because they have certificates.
fn is_for_agents(path: &str) -> bool {
    path.strip_prefix(GRPC).is_some_and(|rest| rest.starts_with("Agent/"))
}

fn no_member() -> Error {
    let error =
        Error::new(Kind::Forbidden, "only members of the cluster may ask this, and show their certificate");
    error.hint("start the agent or server with the cluster's key file, so that it enrols")
}

/// Returns what a member may do by its certificate: an agent is one and nothing else, however it came by a token; servers do for people what
/// they ask of another one, and name them.
fn of_member(member: &Member, path: &str, headers: &HeaderMap) -> Result<Caller, Error> {
    let (capabilities, asker) = match member.role {
        Role::Agent => (Capabilities::default().with(Capability::Node), None),
        Role::Server if is_for_agents(path) => {
            let error = Error::new(Kind::Forbidden, format!("{member} is no agent"));
            return Err(error.hint("the agent of a server's machine has a certificate of its own"));
        }
        Role::Server => {
            (Capabilities::all(), headers.get(forward::ACTOR).and_then(|name| name.to_str().ok()))
        }
    };
    let actor = asker.map_or_else(|| member.to_string(), ToOwned::to_owned);
    Ok(Caller { actor, capabilities, namespace: None })
}

fn identify(context: &Context, headers: &HeaderMap) -> Result<Caller, Error> {
    let hint = "give the token with --token or MINIJOB_TOKEN, over HTTP with the header `Authorization: Bearer TOKEN`; it is in the file `token` of a server's data directory";
    let forbidden = |message: &str| Error::new(Kind::Forbidden, message).hint(hint);
    if !headers.contains_key(header::AUTHORIZATION) {
        return Err(forbidden("a token is required"));
    }
    let state = context.cluster.snapshot();
    let token = state.operator_token.as_ref();
    if bearer(headers).is_some_and(|shown| is_of_operator(context, token, shown)) {
        return Ok(Caller::operator());
    }
    let message = "the token is not the one of this cluster";
    if token.is_some_and(|token| !token.first) {
        let error =
            Error::new(Kind::Forbidden, format!("{message}: it was changed since the cluster was made"));
        return Err(error.hint("only who ran `minijob operator token rotate` has the new one; who has the key makes another with --key-file"));
    }
    Err(forbidden(message))
}

/// Whether that lets administrators in. Until a person has made another one it is also what this server has in its data directory, which was
/// alone before it had a key, and what follows from the key, which may have been changed since.
fn is_of_operator(context: &Context, token: Option<&OperatorToken>, shown: &[u8]) -> bool {
    let hash = token::hash(shown);
    if token.is_some_and(|token| hash.ct_eq(&token.hash).into()) {
        return true;
    }
    let follows = |keys: &Enrolment| keys.tokens().iter().any(|known| known.ct_eq(&hash).into());
    let of_this_server = || context.token.is(shown) || context.enrolment.as_ref().is_some_and(follows);
    token.is_none_or(|token| token.first) && of_this_server()
}

/// Returns the host that the client believes to talk to, without its port.
fn host(uri: &Uri, headers: &HeaderMap) -> Result<String, Error> {
    let bad = || Error::new(Kind::Invalid, "the Host header is missing or makes no sense");
    let authority = match uri.authority() {
        Some(authority) => authority.clone(),
        None => {
            let value = headers.get(header::HOST).and_then(|value| value.to_str().ok()).ok_or_else(bad)?;
            value.parse().map_err(|_| bad())?
        }
    };
    Ok(authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase())
}

/// A browser that a foreign page sent here under its own name (DNS rebinding) shows that name.
fn check_host(ours: &[String], host: &str) -> Result<(), Error> {
    let known = host == "localhost"
        || host.parse::<IpAddr>().is_ok()
        || ours.iter().any(|name| name.eq_ignore_ascii_case(host));
    if known {
        return Ok(());
    }
    let shown: String = host.chars().take(100).collect();
    let error = Error::new(Kind::Forbidden, format!("this server is not `{shown}`"));
    Err(error.hint("use its address, or start the server with that name in --advertise"))
}

/// A page of another site shows its origin; a page of this server has this host.
fn check_origin(host: &str, headers: &HeaderMap) -> Result<(), Error> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let uri: Option<Uri> = origin.to_str().ok().and_then(|text| text.parse().ok());
    let named = uri.as_ref().and_then(Uri::host);
    let same = named
        .is_some_and(|named| named.trim_start_matches('[').trim_end_matches(']').eq_ignore_ascii_case(host));
    if same { Ok(()) } else { Err(Error::new(Kind::Forbidden, "requests of other sites are refused")) }
}

/// A form of another site can post anything but JSON without asking first.
fn check_body(request: &Request) -> Result<(), Error> {
    if request.method() != Method::POST || request.uri().path().starts_with(GRPC) {
        return Ok(());
    }
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let error = Error::new(Kind::Invalid, "a POST must be JSON");
    Err(error.hint("send the header `Content-Type: application/json`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_health_is_for_anybody_and_only_agents_paths_are_for_agents() {
        let get = |path| required(&Method::GET, path);
        assert_eq!(get("/health"), None);
        for path in ["/", "/health/", "/healthz", "/metrics", "/v1/jobs", "/nothing"] {
            assert_eq!(get(path), Some(Capability::Read), "{path}");
        }
        assert_eq!(required(&Method::POST, "/v1/jobs"), Some(Capability::Submit));
        assert_eq!(required(&Method::DELETE, "/v1/jobs/web"), Some(Capability::Submit));
        let post = |path: &str| required(&Method::POST, path);
        assert_eq!(post("/minijob.v1.Control/PutJob"), Some(Capability::Submit));
        assert_eq!(post("/minijob.v1.Control/ListJobs"), Some(Capability::Read));
        for name in ["ScaleJob", "StartJob", "RevertJob", "RestartJob", "RestartAlloc", "PlanJob"] {
            assert_eq!(post(&format!("/minijob.v1.Control/{name}")), Some(Capability::Submit), "{name}");
        }
        let of_operators = ["SetEligibility", "PurgeNode", "DrainNode", "RemoveServer", "ReleaseBrake"];
        for name in of_operators.iter().chain(&["DenyMember", "AllowMember", "SetOperatorToken"]) {
            assert_eq!(post(&format!("/minijob.v1.Control/{name}")), Some(Capability::Operator), "{name}");
        }
        assert_eq!(post("/v1/nodes/n1/cordon"), Some(Capability::Operator));
        assert_eq!(post("/v1/members/n1/deny"), Some(Capability::Operator));
        assert_eq!(required(&Method::DELETE, "/v1/nodes/n1"), Some(Capability::Operator));
        assert_eq!(post("/v1/jobs/web/restart"), Some(Capability::Submit));
        assert_eq!(post("/minijob.v1.Control/Signal"), Some(Capability::Submit));
        assert_eq!(post("/minijob.v1.Control/Exec"), Some(Capability::Exec));
        assert_eq!(post("/minijob.v1.Agent/Session"), Some(Capability::Node));
        assert_eq!(post("/minijob.v1.Raft/Append"), Some(Capability::Peer));
        assert_eq!(post("/minijob.v1.Peer/Greet"), Some(Capability::Peer));
    }

    #[test]
    fn hosts_are_addresses_localhost_and_our_names() {
        let ours = ["s1.example".to_owned()];
        for host in ["127.0.0.1", "::1", "10.1.2.3", "localhost", "s1.example"] {
            assert_eq!(check_host(&ours, host), Ok(()), "{host}");
        }
        for host in ["evil.example", "s1.example.evil", "localhost.evil", "127.0.0.1.evil", ""] {
            assert!(check_host(&ours, host).is_err(), "{host}");
        }
    }

    #[test]
    fn the_host_is_read_without_its_port() {
        let host_of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, text.parse().expect("a header"));
            host(&Uri::from_static("/v1/jobs"), &headers)
        };
        assert_eq!(host_of("S1.example:4650").as_deref(), Ok("s1.example"));
        assert_eq!(host_of("[::1]:4650").as_deref(), Ok("::1"));
        assert!(host_of("a b").is_err());
        assert!(host(&Uri::from_static("/"), &HeaderMap::new()).is_err());
    }

    #[test]
    fn an_origin_must_be_the_host_itself() {
        let check = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().expect("a header"));
            check_origin("10.0.0.1", &headers).is_ok()
        };
        assert!(check("http://10.0.0.1:4650") && check("https://10.0.0.1"));
        assert!(!check("null") && !check("https://evil.example") && !check("http://10.0.0.10") && !check(""));
    }
}
