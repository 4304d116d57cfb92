//! Jobs over HTTP.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use proto::error::{Error, Kind};
use proto::ids::{JobKey, JobVersion, RequestId};
use proto::model::Job;
use proto::view::{JobList, JobStatus, List, Written};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Failure;
use super::query::{Body, Params, Read, request_id, switch};
use crate::api::Context;
use crate::ops::{self, Caller, PutJob};

/// What to submit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutBody {
    /// The job file's text.
    job_file: String,
    /// What to call it in messages.
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    expected_version: Option<u64>,
    #[serde(default)]
    request_id: Option<String>,
}

/// What became of one job of the file.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PutItem {
    namespace: String,
    name: String,
    #[serde(flatten)]
    written: Written,
}

/// Which job to stop, and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StopParams {
    #[serde(default)]
    namespace: String,
    #[serde(default, deserialize_with = "switch")]
    purge: bool,
    #[serde(default)]
    request_id: Option<String>,
}

pub(super) async fn list(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Params(read): Params<Read>,
) -> Result<Json<JobList>, Failure> {
    Ok(Json(ops::list_jobs(&context.cluster, &caller, &read.namespace, read.wait()).await?))
}

pub(super) async fn show(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(read): Params<Read>,
) -> Result<Json<JobStatus>, Failure> {
    let key = JobKey::new(read.namespace.clone(), name);
    Ok(Json(ops::job_status(&context.cluster, &caller, key, read.wait()).await?))
}

/// Submits the jobs of a file, after all of them were checked.
pub(super) async fn put(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<PutBody>,
) -> Result<Json<List<PutItem>>, Failure> {
    let first = request_id(body.request_id.as_deref())?;
    let file = body.file.as_deref().unwrap_or("job file");
    let jobs = proto::jobfile::parse(file, &body.job_file).map_err(Error::from)?;
    let expected = body.expected_version.map(JobVersion);
    if expected.is_some() && jobs.len() > 1 {
        let said = format!("`expected_version` is for one job, the file has {}", jobs.len());
        return Err(Error::new(Kind::Invalid, said).into());
    }
    let jobs: Vec<Job> =
        jobs.into_iter().map(|job| ops::check_job(&caller, job)).collect::<Result<_, Error>>()?;
    let mut items: Vec<PutItem> = Vec::new();
    for (number, job) in jobs.into_iter().enumerate() {
        let JobKey { namespace, name } = job.key.clone();
        let request = RequestId(first.0.wrapping_add(number as u128));
        let put = PutJob { request, job, expected, message: body.message.clone() };
        match ops::put_job(&context.cluster, &caller, put).await {
            Ok(written) => items.push(PutItem { namespace, name, written }),
            Err(error) => return Err(after(&items, &name, error).into()),
        }
    }
    let revision = items.iter().map(|item| item.written.revision).max().unwrap_or_default();
    Ok(Json(List { items, next: None, revision, warnings: Vec::new() }))
}

/// Says of a file that could not be submitted whole what was.
fn after(done: &[PutItem], name: &str, mut error: Error) -> Error {
    if !done.is_empty() {
        let line =
            |item: &PutItem| format!("job `{}` was submitted: version {}", item.name, item.written.version);
        error.details.extend(done.iter().map(line));
        error.message = format!("job `{name}`: {}", error.message);
    }
    error
}

pub(super) async fn stop(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(params): Params<StopParams>,
) -> Result<Json<Written>, Failure> {
    let request = request_id(params.request_id.as_deref())?;
    let key = JobKey::new(params.namespace, name);
    Ok(Json(ops::stop_job(&context.cluster, &caller, request, key, params.purge).await?))
}
