//! Allocations, nodes and the version over HTTP.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use proto::view::{AllocView, NodeList, Version};
use serde::Deserialize;

use super::Failure;
use super::query::{Params, Read};
use crate::api::Context;
use crate::ops::{self, Caller};

/// Where names are looked up.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Within {
    #[serde(default)]
    pub(super) namespace: String,
}

pub(super) async fn alloc(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Params(within): Params<Within>,
) -> Result<Json<AllocView>, Failure> {
    let view = ops::alloc_status(&context.cluster, &caller, &within.namespace, &id)?;
    Ok(Json(ops::add_usage(&context.hub, view).await))
}

pub(super) async fn nodes(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Params(read): Params<Read>,
) -> Result<Json<NodeList>, Failure> {
    Ok(Json(ops::list_nodes(&context.cluster, &caller, read.wait()).await?))
}

pub(super) async fn version() -> Json<Version> {
    Json(ops::version())
}
