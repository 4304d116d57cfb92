//! Nodes and servers over HTTP.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use proto::model::Eligibility;
use proto::view::{LossView, NodeList, NodeStatus, ServerList, Written};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Failure;
use super::query::{Body, Params, Read, request_id};
use super::versions::PlainBody;
use crate::api::Context;
use crate::ops::{self, Caller};

/// Nothing but the name of a write.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PurgeParams {
    #[serde(default)]
    request_id: Option<String>,
}

/// How a node is drained.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DrainBody {
    /// When what is left is told to end, from now; 0: at once; none: 1 h.
    #[serde(default)]
    deadline_ms: Option<u64>,
    /// What is left may take as long as it needs.
    #[serde(default)]
    no_deadline: bool,
    /// What is to be said about it.
    #[serde(default)]
    message: String,
    /// Names the write.
    #[serde(default)]
    request_id: Option<String>,
}

/// Which nodes are taken to be lost.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LossParams {
    #[serde(default)]
    nodes: String,
    #[serde(default)]
    failure_domains: String,
}

pub(super) async fn loss(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Params(params): Params<LossParams>,
) -> Result<Json<LossView>, Failure> {
    let list = |text: &str| text.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect();
    let lost = ops::Lost { nodes: list(&params.nodes), domains: list(&params.failure_domains) };
    Ok(Json(ops::plan_loss(&context.cluster, &caller, &lost, Vec::new()).await?))
}

pub(super) async fn nodes(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Params(read): Params<Read>,
) -> Result<Json<NodeList>, Failure> {
    Ok(Json(ops::list_nodes(&context.cluster, &caller, read.wait()).await?))
}

pub(super) async fn node(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<NodeStatus>, Failure> {
    Ok(Json(ops::node_status(&context.cluster, &caller, &name)?))
}

pub(super) async fn cordon(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Body(body): Body<PlainBody>,
) -> Result<Json<Written>, Failure> {
    let (id, wanted) = (request_id(body.request_id.as_deref())?, Eligibility::Cordoned);
    Ok(Json(ops::set_eligibility(&context.cluster, &caller, id, &name, wanted).await?))
}

pub(super) async fn uncordon(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Body(body): Body<PlainBody>,
) -> Result<Json<Written>, Failure> {
    let (id, wanted) = (request_id(body.request_id.as_deref())?, Eligibility::Eligible);
    Ok(Json(ops::set_eligibility(&context.cluster, &caller, id, &name, wanted).await?))
}

pub(super) async fn purge(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(params): Params<PurgeParams>,
) -> Result<Json<Written>, Failure> {
    let id = request_id(params.request_id.as_deref())?;
    Ok(Json(ops::purge_node(&context.cluster, &caller, id, &name).await?))
}

pub(super) async fn drain(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Body(body): Body<DrainBody>,
) -> Result<Json<Written>, Failure> {
    let id = request_id(body.request_id.as_deref())?;
    let deadline = body.deadline_ms.map(Duration::from_millis);
    let wish = ops::Drain { deadline, no_deadline: body.no_deadline, message: body.message };
    Ok(Json(ops::drain_node(&context.cluster, &caller, id, &name, wish).await?))
}

pub(super) async fn cancel_drain(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(params): Params<PurgeParams>,
) -> Result<Json<Written>, Failure> {
    let id = request_id(params.request_id.as_deref())?;
    Ok(Json(ops::cancel_drain(&context.cluster, &caller, id, &name).await?))
}

pub(super) async fn servers(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ServerList>, Failure> {
    let Context { cluster, forming, name, address, .. } = &context;
    Ok(Json(ops::list_servers(cluster, forming.as_ref(), &caller, name, address).await?))
}

pub(super) async fn remove_server(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Written>, Failure> {
    Ok(Json(ops::remove_server(&context.cluster, context.forming.as_ref(), &caller, &name).await?))
}
