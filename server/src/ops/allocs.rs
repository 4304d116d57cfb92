//! One allocation is shown.

use proto::error::Error;
use proto::view::AllocView;

use super::{Caller, Capability, find, views};
use crate::cluster::Cluster;

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
