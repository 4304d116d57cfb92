//! Nodes as people and scripts read them.

use proto::view::{NodeList, NodeView};

use crate::core::state::{NodeRecord, State};

/// Shows all nodes, by name.
#[must_use]
pub fn node_list(state: &State) -> NodeList {
    let mut items: Vec<NodeView> = state.nodes.iter().map(|(_, record)| node(state, record)).collect();
    items.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    NodeList { items, next: None, revision: state.revision }
}

/// Shows one node.
#[must_use]
pub fn node(state: &State, record: &NodeRecord) -> NodeView {
    let runs = |id: &&proto::ids::AllocId| state.allocs.get(**id).is_some_and(|alloc| !alloc.has_ended());
    NodeView {
        id: record.identity.id,
        name: record.identity.name.clone(),
        address: record.identity.address.clone(),
        liveness: record.liveness,
        eligibility: record.eligibility,
        version: record.identity.version.clone(),
        capacity: record.identity.capacity,
        used: record.used,
        allocs: u32::try_from(record.allocs.iter().filter(runs).count()).unwrap_or(u32::MAX),
        since: record.since,
        attributes: record.identity.attributes.clone(),
    }
}
