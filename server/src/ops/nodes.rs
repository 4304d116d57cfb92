//! Nodes are listed.

use proto::error::Error;
use proto::view::NodeList;

use super::{Caller, Capability, Wait, views};
use crate::cluster::Cluster;

/// Lists all nodes, by name.
///
/// # Errors
/// Forbidden.
pub async fn list_nodes(cluster: &Cluster, caller: &Caller, wait: Wait) -> Result<NodeList, Error> {
    caller.need(Capability::Read)?;
    Ok(views::node_list(&*wait.snapshot(cluster).await))
}
