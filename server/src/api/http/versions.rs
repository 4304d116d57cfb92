//! Versions of a job over HTTP: shown, made again, changed in one number, planned.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use proto::error::Error;
use proto::ids::{JobKey, JobVersion};
use proto::view::{Export, History, List, Plan, Written};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Failure;
use super::query::{Body, Params, Within, request_id};
use crate::api::Context;
use crate::ops::{self, Caller};

/// Which version.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportParams {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    version: Option<u64>,
}

/// What to change of a group.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScaleBody {
    /// The group; none: the job's only one.
    #[serde(default)]
    group: String,
    /// Allocations wanted.
    count: u32,
    /// Names the write.
    #[serde(default)]
    request_id: Option<String>,
}

/// Where to go back to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevertBody {
    /// The version whose description is made a new one.
    version: u64,
    /// Names the write.
    #[serde(default)]
    request_id: Option<String>,
}

/// How to restart.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RestartBody {
    /// All allocations together, not one by one.
    #[serde(default)]
    at_once: bool,
    /// Names the write.
    #[serde(default)]
    request_id: Option<String>,
}

/// A write that says nothing more; the body may be empty.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlainBody {
    /// Names the write.
    #[serde(default)]
    pub(super) request_id: Option<String>,
}

/// What might be submitted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanBody {
    /// The job file's text.
    job_file: String,
    /// What to call it in messages.
    #[serde(default)]
    file: Option<String>,
}

pub(super) async fn history(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(within): Params<Within>,
) -> Result<Json<History>, Failure> {
    let key = JobKey::new(within.namespace, name);
    Ok(Json(ops::job_history(&context.cluster, &caller, &key)?))
}

pub(super) async fn export(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(params): Params<ExportParams>,
) -> Result<Json<Export>, Failure> {
    let key = JobKey::new(params.namespace, name);
    Ok(Json(ops::export_job(&context.cluster, &caller, &key, params.version.map(JobVersion))?))
}

pub(super) async fn scale(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(within): Params<Within>,
    Body(body): Body<ScaleBody>,
) -> Result<Json<Written>, Failure> {
    let (id, key) = (request_id(body.request_id.as_deref())?, JobKey::new(within.namespace, name));
    Ok(Json(ops::scale_job(&context.cluster, &caller, id, &key, &body.group, body.count).await?))
}

pub(super) async fn start(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(within): Params<Within>,
    Body(body): Body<PlainBody>,
) -> Result<Json<Written>, Failure> {
    let (id, key) = (request_id(body.request_id.as_deref())?, JobKey::new(within.namespace, name));
    Ok(Json(ops::start_job(&context.cluster, &caller, id, &key).await?))
}

pub(super) async fn revert(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(within): Params<Within>,
    Body(body): Body<RevertBody>,
) -> Result<Json<Written>, Failure> {
    let (id, key) = (request_id(body.request_id.as_deref())?, JobKey::new(within.namespace, name));
    Ok(Json(ops::revert_job(&context.cluster, &caller, id, &key, JobVersion(body.version)).await?))
}

pub(super) async fn restart(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(within): Params<Within>,
    Body(body): Body<RestartBody>,
) -> Result<Json<Written>, Failure> {
    let (id, key) = (request_id(body.request_id.as_deref())?, JobKey::new(within.namespace, name));
    Ok(Json(ops::restart_job(&context.cluster, &caller, id, &key, body.at_once).await?))
}

/// Plans every job of a file, each on the present state.
pub(super) async fn plan(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<PlanBody>,
) -> Result<Json<List<Plan>>, Failure> {
    let file = body.file.as_deref().unwrap_or("job file");
    let jobs = proto::jobfile::parse(file, &body.job_file).map_err(Error::from)?;
    let mut items = Vec::new();
    for job in jobs {
        items.push(ops::plan_job(&context.cluster, &caller, job).await?);
    }
    let revision = items.iter().map(|item| item.revision).max().unwrap_or_default();
    Ok(Json(List { items, next: None, revision, warnings: Vec::new() }))
}
