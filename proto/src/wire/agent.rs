//! `agent.proto` to and from the model.

use std::time::Duration;

use super::{BadMessage, job, need, v1};
use crate::ids::NodeId;
use crate::model::NodeIdentity;
use crate::time::millis;

/// Writes a node's identity.
#[must_use]
pub fn identity_to_wire(identity: &NodeIdentity) -> v1::Identity {
    v1::Identity {
        node_id: identity.id.0,
        name: identity.name.clone(),
        machine_id: identity.machine_id.clone(),
        boot_id: identity.boot_id.clone(),
        address: identity.address.clone(),
        version: identity.version.clone(),
        capacity: Some(job::resources_to_wire(identity.capacity)),
        attributes: identity.attributes.clone(),
        failure_domain: identity.failure_domain.clone().unwrap_or_default(),
        leaving_ms: identity.leaving.map(millis),
    }
}

/// Reads a node's identity.
///
/// # Errors
/// [`BadMessage`] when it has no id, no name or no capacity.
pub fn identity_from_wire(identity: v1::Identity) -> Result<NodeIdentity, BadMessage> {
    Ok(NodeIdentity {
        id: need(Some(NodeId(identity.node_id)).filter(|id| id.0 != 0), "node_id")?,
        name: need(Some(identity.name).filter(|name| !name.is_empty()), "name")?,
        machine_id: identity.machine_id,
        boot_id: identity.boot_id,
        address: identity.address,
        version: identity.version,
        capacity: job::resources_from_wire(need(identity.capacity, "capacity")?),
        attributes: identity.attributes,
        failure_domain: Some(identity.failure_domain).filter(|domain| !domain.is_empty()),
        leaving: identity.leaving_ms.map(Duration::from_millis),
    })
}
