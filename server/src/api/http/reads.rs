//! Allocations, stories and the version over HTTP.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use proto::view::{AllocView, Story, Version, Written};

use super::Failure;
use super::query::{Body, Params, Within, request_id};
use super::versions::PlainBody;
use crate::api::Context;
use crate::ops::{self, Caller};

pub(super) async fn alloc(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Params(within): Params<Within>,
) -> Result<Json<AllocView>, Failure> {
    let view = ops::alloc_status(&context.cluster, &caller, &within.namespace, &id)?;
    Ok(Json(ops::add_usage(&context.hub, view).await))
}

pub(super) async fn restart_alloc(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Params(within): Params<Within>,
    Body(body): Body<PlainBody>,
) -> Result<Json<Written>, Failure> {
    let request = request_id(body.request_id.as_deref())?;
    Ok(Json(ops::restart_alloc(&context.cluster, &caller, request, &within.namespace, &id).await?))
}

pub(super) async fn why(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(target): Path<String>,
    Params(within): Params<Within>,
) -> Result<Json<Story>, Failure> {
    Ok(Json(ops::why(&context.cluster, &caller, &within.namespace, &target)?))
}

pub(super) async fn version() -> Json<Version> {
    Json(ops::version())
}
