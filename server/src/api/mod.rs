//! The one port of a server: gRPC and HTTP/1.1 with JSON. Thin: decode, call [`crate::ops`], encode.

/// Which capability a path requires, and whose token that is.
mod access;
/// A call that runs a command.
mod exec;
/// Requests that only the leader answers.
mod forward;
/// The control service.
mod grpc;
/// The JSON endpoints.
mod http;
/// Where the output of tasks comes from.
mod output;
/// Accepting connections within limits.
mod serve;
/// A call that restores a snapshot.
mod snapshots;
/// The cluster's token.
mod token;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware;
use pki::tls::Credentials;
use proto::limits::MESSAGE_BYTES;
use proto::wire::v1::control_server::ControlServer;
use tonic::service::Routes;

pub use forward::Forward;
pub use serve::serve;
pub use token::{BadToken, Token};

use crate::agents::Hub;
use crate::cluster::Cluster;
use crate::enrolment::Enrolment;
use crate::forming::Forming;
use crate::limits;
use crate::metrics::Metrics;
use crate::ops::logs::Sources;

/// What requests are answered from. Clones are the same.
#[derive(Clone)]
pub struct Context {
    /// The state.
    pub cluster: Cluster,
    /// The output of tasks.
    pub sources: Arc<dyn Sources>,
    /// The way to running tasks: the agents that are connected here.
    pub hub: Hub,
    /// What every request but `/health` must bring.
    pub token: Arc<Token>,
    /// The cluster's keys, and so the token that follows from them; none: this server has no key.
    pub enrolment: Option<Enrolment>,
    /// Who is taken for a member; none: there is no TLS, and nobody is.
    pub members: Option<Credentials>,
    /// The way to the server that leads.
    pub forward: Forward,
    /// How other servers are met; none: this one is alone.
    pub forming: Option<Forming>,
    /// Names that this server is reached by, beside addresses and `localhost`: what it advertises, its host name.
    pub hosts: Arc<[String]>,
    /// What people call this server.
    pub name: Arc<str>,
    /// Where it is reached.
    pub address: Arc<str>,
    /// Counted, and shown at `/metrics`.
    pub metrics: Metrics,
}

/// Puts everything that the port answers together. `services` are gRPC services of other parts: the one for agents, Raft's.
pub fn router(context: Context, services: Routes) -> axum::Router {
    let control = ControlServer::new(grpc::Control::new(context.clone()))
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let grpc = services.add_service(control).into_axum_router().reset_fallback();
    let http =
        http::router().layer(DefaultBodyLimit::max(limits::HTTP_BODY_BYTES)).with_state(context.clone());
    http.merge(grpc)
        .fallback(http::unknown_path)
        .method_not_allowed_fallback(http::unknown_method)
        .layer(middleware::from_fn_with_state(context, access::check))
}

#[cfg(test)]
mod tests;
