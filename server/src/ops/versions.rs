//! Versions of a job: shown, made again, changed in one number, and planned.

use proto::error::{Error, Kind as ErrorKind};
use proto::ids::{JobKey, JobVersion, RequestId};
use proto::limits::ALLOCATIONS_PER_GROUP;
use proto::model::Job;
use proto::view::{Export, History, Plan, Written};

use super::jobs::{check_job, with_placement, write_job};
use super::{Caller, Capability, find, views};
use crate::cluster::Cluster;
use crate::core::scheduler::forecast;
use crate::core::state::Kind;

/// Shows the versions of a job that are kept, the newest first.
///
/// # Errors
/// Forbidden; not found, with the nearest name.
pub fn job_history(cluster: &Cluster, caller: &Caller, key: &JobKey) -> Result<History, Error> {
    caller.need(Capability::Read)?;
    let key = own(caller, key)?;
    let state = cluster.snapshot();
    find::job(&state, caller, &key).map(|record| views::history(&state, record))
}

/// Shows a version of a job, the present one unless told otherwise, as a job file in the full form.
///
/// # Errors
/// Forbidden; not found, with the nearest name or the versions that are kept.
pub fn export_job(
    cluster: &Cluster,
    caller: &Caller,
    key: &JobKey,
    version: Option<JobVersion>,
) -> Result<Export, Error> {
    caller.need(Capability::Read)?;
    let key = own(caller, key)?;
    let state = cluster.snapshot();
    let record = find::job(&state, caller, &key)?;
    match views::version_of(record, version) {
        Some(version) => Ok(views::export(record, version)),
        None => {
            let asked = version.unwrap_or_default();
            let message =
                format!("version {asked} of job `{key}` is not kept: there is {}", views::kept(record));
            let hint = format!("`minijob history {}` shows what each of them changed", key.name);
            Err(Error::new(ErrorKind::NotFound, message).hint(hint))
        }
    }
}

/// Makes the description of an earlier version a new one. Nothing changes when it is the present one and runs.
///
/// # Errors
/// Forbidden; not found, with the nearest name or the versions that are kept; and those of [`Cluster::write`].
pub async fn revert_job(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    key: &JobKey,
    to: JobVersion,
) -> Result<Written, Error> {
    change(cluster, caller, request, key, |key| Kind::RevertJob { key, to }).await
}

/// Changes how many allocations a group wants; an empty group is the job's only one. The same number changes nothing.
///
/// # Errors
/// Forbidden; invalid beyond [`ALLOCATIONS_PER_GROUP`], or when a job of several groups is asked for without one; not found for
/// an unknown job or group, with those there are; refused when the job is stopped; and those of [`Cluster::write`].
pub async fn scale_job(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    key: &JobKey,
    group: &str,
    count: u32,
) -> Result<Written, Error> {
    caller.need(Capability::Submit)?;
    if count > ALLOCATIONS_PER_GROUP {
        let message = format!("`count` is {count}, at most {ALLOCATIONS_PER_GROUP} are allowed");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let group = group.to_owned();
    change(cluster, caller, request, key, |key| Kind::ScaleJob { key, group, count }).await
}

/// Starts a stopped job again with the description it has. Nothing changes when it is not stopped.
///
/// # Errors
/// Forbidden; not found, with the nearest name; and those of [`Cluster::write`].
pub async fn start_job(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    key: &JobKey,
) -> Result<Written, Error> {
    change(cluster, caller, request, key, |key| Kind::StartJob { key }).await
}

/// Replaces all of a job's work by the same, one allocation after the other or all together; a batch job runs again.
///
/// # Errors
/// Forbidden; not found, with the nearest name; refused when the job is stopped; and those of [`Cluster::write`].
pub async fn restart_job(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    key: &JobKey,
    at_once: bool,
) -> Result<Written, Error> {
    change(cluster, caller, request, key, |key| Kind::RestartJob { key, at_once }).await
}

async fn change(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    key: &JobKey,
    kind: impl FnOnce(JobKey) -> Kind,
) -> Result<Written, Error> {
    caller.need(Capability::Submit)?;
    let key = own(caller, key)?;
    let written = write_job(cluster, caller, request, &key, kind(key.clone())).await?;
    Ok(with_placement(cluster, &key, written).await)
}

/// Says what submitting a job would change, and where its work would go: by the decisions of the real thing, on a copy of the
/// state. Nothing is written.
///
/// # Errors
/// Those of submitting it.
pub async fn plan_job(cluster: &Cluster, caller: &Caller, job: Job) -> Result<Plan, Error> {
    let job = check_job(caller, job)?;
    let (state, now) = (cluster.snapshot(), cluster.now());
    // A large job among many nodes takes a while to place, and others wait for this thread.
    let decided = tokio::task::spawn_blocking(move || {
        let told = forecast(&state, job.clone(), now)?;
        Ok(views::plan(&state, &job, &told))
    });
    let stopped = |_| Error::new(ErrorKind::Unavailable, "the server is stopping");
    decided.await.map_err(stopped)?.map_err(|refusal: crate::core::state::Refusal| refusal.into())
}

pub(super) fn own(caller: &Caller, key: &JobKey) -> Result<JobKey, Error> {
    Ok(JobKey::new(caller.namespace(&key.namespace)?, &key.name))
}
