//! Jobs are submitted, stopped, listed, shown.

use proto::error::{Error, Kind as ErrorKind};
use proto::ids::{JobKey, JobVersion, RequestId};
use proto::model::Job;
use proto::view::{JobList, JobStatus, Placement, Written};

use super::{Caller, Capability, Wait, bounds, find, views};
use crate::cluster::Cluster;
use crate::core::state::{JobRecord, Kind, Outcome, State};
use crate::limits;

/// A job to submit.
#[derive(Clone, Debug)]
pub struct PutJob {
    /// The same id twice is one write.
    pub request: RequestId,
    /// What is asked for; an empty namespace is the caller's own.
    pub job: Job,
    /// Refused unless the job is at this version; 0: there must be none.
    pub expected: Option<JobVersion>,
    /// What the person says about it.
    pub message: String,
}

/// Submits a job, and says where it was placed if the scheduler answers within [`limits::PLACEMENT_WAIT`].
///
/// The same description twice changes nothing; a stopped job starts again.
///
/// # Errors
/// Forbidden; invalid or too large beyond the limits; conflict when the job is at another version than expected; and those of
/// [`Cluster::write`].
pub async fn put_job(cluster: &Cluster, caller: &Caller, put: PutJob) -> Result<Written, Error> {
    let job = check_job(caller, put.job)?;
    let most = limits::MESSAGE_OF_VERSION_BYTES;
    if put.message.len() > most {
        return Err(Error::new(ErrorKind::TooLarge, format!("the message is longer than {most} bytes")));
    }
    let key = job.key.clone();
    let kind = Kind::PutJob { job: Box::new(job), expected: put.expected, message: put.message };
    let written = written(cluster.write(&caller.actor, put.request, kind).await?)?;
    Ok(with_placement(cluster, &key, written).await)
}

/// Adds where a version was placed, if the scheduler answers within [`limits::PLACEMENT_WAIT`].
pub(super) async fn with_placement(cluster: &Cluster, key: &JobKey, mut written: Written) -> Written {
    let shown = cluster.considered(key, written.revision, limits::PLACEMENT_WAIT).await;
    let state = shown.unwrap_or_else(|| cluster.snapshot());
    written.placement = placement(&state, key, &written);
    written
}

/// Fills in the namespace of a job and checks that it may be submitted, without submitting it.
///
/// # Errors
/// Forbidden; invalid or too large beyond the limits.
pub fn check_job(caller: &Caller, mut job: Job) -> Result<Job, Error> {
    caller.need(Capability::Submit)?;
    job.key.namespace = caller.namespace(&job.key.namespace)?;
    bounds::check(&job)?;
    Ok(job)
}

/// Says where a version was placed; none when somebody has submitted another meanwhile.
fn placement(state: &State, key: &JobKey, written: &Written) -> Option<Placement> {
    let record = state.jobs.get(key).filter(|record| record.current().version == written.version)?;
    Some(views::placement(state, record, written.revision))
}

/// Stops a job; with `purge` it is also forgotten once everything has ended. Stopping a stopped job changes nothing.
///
/// # Errors
/// Forbidden; not found, with the nearest name; and those of [`Cluster::write`].
pub async fn stop_job(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    key: JobKey,
    purge: bool,
) -> Result<Written, Error> {
    caller.need(Capability::Submit)?;
    let key = JobKey::new(caller.namespace(&key.namespace)?, key.name);
    let kind = Kind::StopJob { key: key.clone(), purge };
    write_job(cluster, caller, request, &key, kind).await
}

/// Writes about a job that must exist: one that does not is refused with the nearest name.
pub(super) async fn write_job(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    key: &JobKey,
    kind: Kind,
) -> Result<Written, Error> {
    match cluster.write(&caller.actor, request, kind).await {
        Ok(outcome) => written(outcome),
        Err(error) if error.kind == ErrorKind::NotFound => {
            let state = cluster.snapshot();
            Err(find::job(&state, caller, key).err().unwrap_or(error))
        }
        Err(error) => Err(error),
    }
}

pub(super) fn written(outcome: Outcome) -> Result<Written, Error> {
    match outcome {
        Outcome::Written { changed, version, revision } => {
            Ok(Written { changed, version, revision, placement: None })
        }
        other => Err(Error::new(ErrorKind::Internal, format!("a write was answered with {other:?}"))),
    }
}

/// Lists the jobs of a namespace, the unhealthy first; an empty one means all that the caller may see.
///
/// # Errors
/// Forbidden.
pub async fn list_jobs(
    cluster: &Cluster,
    caller: &Caller,
    namespace: &str,
    wait: Wait,
) -> Result<JobList, Error> {
    caller.need(Capability::Read)?;
    let only = if namespace.is_empty() { None } else { Some(caller.namespace(namespace)?) };
    let state = wait.snapshot(cluster).await;
    let asked = |namespace: &String| only.as_ref().is_none_or(|only| only == namespace);
    let shown = |record: &JobRecord| asked(&record.key.namespace) && caller.sees(&record.key.namespace);
    Ok(views::job_list(&state, shown, cluster.now()))
}

/// Shows everything about one job.
///
/// # Errors
/// Forbidden; not found, with the nearest name.
pub async fn job_status(
    cluster: &Cluster,
    caller: &Caller,
    key: JobKey,
    wait: Wait,
) -> Result<JobStatus, Error> {
    caller.need(Capability::Read)?;
    let key = JobKey::new(caller.namespace(&key.namespace)?, key.name);
    let state = wait.snapshot(cluster).await;
    find::job(&state, caller, &key).map(|record| views::job_status(&state, record, cluster.now()))
}
