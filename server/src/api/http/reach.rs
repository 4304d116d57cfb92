//! Running tasks over HTTP: signals. A command beside a task wants both ways at once and is for gRPC alone.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use proto::view::Signalled;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Failure;
use super::query::{Body, Params, Within, request_id};
use crate::api::Context;
use crate::ops::{self, Caller, TaskQuery};

/// Which signal.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignalBody {
    signal: String,
    /// Which task; without one the only one.
    #[serde(default)]
    task: String,
    #[serde(default)]
    request_id: Option<String>,
}

pub(super) async fn signal(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(alloc): Path<String>,
    Params(within): Params<Within>,
    Body(body): Body<SignalBody>,
) -> Result<Json<Signalled>, Failure> {
    let request = request_id(body.request_id.as_deref())?;
    let query = TaskQuery { namespace: within.namespace, alloc, task: body.task };
    Ok(Json(ops::signal(&context.cluster, &context.hub, &caller, request, &query, &body.signal).await?))
}
