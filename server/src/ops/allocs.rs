//! One allocation is shown, explained, restarted.

use proto::error::Error;
use proto::ids::RequestId;
use proto::view::{AllocView, Story, Written};

use super::jobs::{with_placement, written};
use super::{Caller, Capability, find, views};
use crate::cluster::Cluster;
use crate::core::state::Kind;

/// Shows an allocation: by its id, a unique beginning of it, `job.group.index`, or the name of a job that has only one.
///
/// # Errors
/// Forbidden; invalid with the candidates when several are meant; not found with the nearest job's name.
pub fn alloc_status(
    cluster: &Cluster,
    caller: &Caller,
    namespace: &str,
    text: &str,
) -> Result<AllocView, Error> {
    caller.need(Capability::Read)?;
    let state = cluster.snapshot();
    find::one_alloc(&state, caller, namespace, text).map(|alloc| views::alloc(&state, alloc))
}

/// Restarts one allocation in its slot, on its node if that fits; one that has ended begins anew, also when it had been given up.
///
/// # Errors
/// Forbidden; as [`alloc_status`]; refused when its job is stopped or something else is in its place; and those of
/// [`Cluster::write`].
pub async fn restart_alloc(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    namespace: &str,
    text: &str,
) -> Result<Written, Error> {
    caller.need(Capability::Submit)?;
    let (alloc, key) = {
        let state = cluster.snapshot();
        let alloc = find::one_alloc(&state, caller, namespace, text)?;
        (alloc.id, alloc.job.as_ref().clone())
    };
    let outcome = cluster.write(&caller.actor, request, Kind::RestartAlloc { alloc }).await?;
    Ok(with_placement(cluster, &key, written(outcome)?).await)
}

/// Tells why a job or an allocation is as it is. Of `job.group.index` the allocation that fills the slot is meant, else the last.
///
/// # Errors
/// Forbidden; as [`alloc_status`], but a job may have several.
pub fn why(cluster: &Cluster, caller: &Caller, namespace: &str, text: &str) -> Result<Story, Error> {
    caller.need(Capability::Read)?;
    let state = cluster.snapshot();
    match find::target(&state, caller, namespace, text)? {
        find::Target::Job(key) => {
            find::job(&state, caller, &key).map(|record| views::of_job(&state, record, cluster.now()))
        }
        _ => find::one_alloc(&state, caller, namespace, text).map(|alloc| views::of_alloc(&state, alloc)),
    }
}
