//! Nodes are listed, shown, cordoned, forgotten.

use proto::error::Error;
use proto::ids::RequestId;
use proto::model::Eligibility;
use proto::view::{NodeList, NodeStatus, Written};

use super::jobs::written;
use super::{Caller, Capability, Wait, find, views};
use crate::cluster::Cluster;
use crate::core::state::Kind;

/// Lists all nodes, by name.
///
/// # Errors
/// Forbidden.
pub async fn list_nodes(cluster: &Cluster, caller: &Caller, wait: Wait) -> Result<NodeList, Error> {
    caller.need(Capability::Read)?;
    Ok(views::node_list(&*wait.snapshot(cluster).await))
}

/// Shows one node with what runs on it: by its name, its id, or a unique beginning of it. Of allocations only those that the
/// caller may see.
///
/// # Errors
/// Forbidden; invalid with the candidates when several are meant; not found with the nearest name.
pub fn node_status(cluster: &Cluster, caller: &Caller, text: &str) -> Result<NodeStatus, Error> {
    caller.need(Capability::Read)?;
    let state = cluster.snapshot();
    let mut status = views::node_status(&state, find::node(&state, text)?);
    status.running.retain(|alloc| caller.sees(&alloc.namespace));
    Ok(status)
}

/// Says whether a node takes new work. What it is already changes nothing.
///
/// # Errors
/// Forbidden; as [`node_status`]; and those of [`Cluster::write`].
pub async fn set_eligibility(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    text: &str,
    eligibility: Eligibility,
) -> Result<Written, Error> {
    caller.need(Capability::Operator)?;
    let node = find::node(&cluster.snapshot(), text)?.identity.id;
    written(cluster.write(&caller.actor, request, Kind::NodeEligibility { node, eligibility }).await?)
}

/// Forgets a node that is down, with what was lost there.
///
/// # Errors
/// Forbidden; as [`node_status`]; refused when it is up; and those of [`Cluster::write`].
pub async fn purge_node(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    text: &str,
) -> Result<Written, Error> {
    caller.need(Capability::Operator)?;
    let node = find::node(&cluster.snapshot(), text)?.identity.id;
    written(cluster.write(&caller.actor, request, Kind::PurgeNode { node }).await?)
}
