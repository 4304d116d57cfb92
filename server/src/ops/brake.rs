//! The brake is let go by a person.

use proto::error::Error;
use proto::ids::RequestId;
use proto::view::Written;

use super::jobs::written;
use super::{Caller, Capability};
use crate::cluster::Cluster;
use crate::core::state::Kind;

/// Lets everything be replaced now that was lost with many nodes at once. Where nothing is held nothing changes.
///
/// # Errors
/// Forbidden; and those of [`Cluster::write`].
pub async fn release_brake(cluster: &Cluster, caller: &Caller, request: RequestId) -> Result<Written, Error> {
    caller.need(Capability::Operator)?;
    written(cluster.write(&caller.actor, request, Kind::ReleaseLost).await?)
}
