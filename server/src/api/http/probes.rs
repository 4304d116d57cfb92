//! What machines ask: is this server well, and how much of everything is there.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;

use crate::api::Context;

/// The type of the text that Prometheus reads.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether this server can serve.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Health {
    /// `ok`, or `no_leader`.
    status: &'static str,
    /// Whether this server leads.
    leader: bool,
}

/// Well as long as somebody leads: then this server takes part and knows whom to send writers to.
pub(super) async fn health(State(context): State<Context>) -> Response {
    let leadership = context.cluster.leadership().borrow().clone();
    let led = leadership.leading || leadership.leader.is_some();
    let (status, word) =
        if led { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "no_leader") };
    (status, Json(Health { status: word, leader: leadership.leading })).into_response()
}

pub(super) async fn metrics(State(context): State<Context>) -> Response {
    let text = context.metrics.render(&context.cluster);
    ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response()
}
