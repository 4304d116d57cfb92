//! Nodes as people and scripts read them.

use proto::view::{AllocView, DrainView, NodeList, NodeStatus, NodeView};

use super::alloc::alloc;
use crate::core::state::{Drain, NodeRecord, State};
use crate::limits;

/// Shows all nodes, by name.
#[must_use]
pub fn node_list(state: &State) -> NodeList {
    let mut items: Vec<NodeView> = state.nodes.iter().map(|(_, record)| node(state, record)).collect();
    items.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    NodeList { items, next: None, revision: state.revision, warnings: Vec::new() }
}

/// Shows one node with what runs on it and what happened to it lately.
#[must_use]
pub fn node_status(state: &State, record: &NodeRecord) -> NodeStatus {
    let here = record.allocs.iter().filter_map(|id| state.allocs.get(*id));
    let mut running: Vec<AllocView> =
        here.filter(|here| !here.has_ended()).map(|here| alloc(state, here)).collect();
    running.sort_by(|a, b| (&a.namespace, &a.name, a.id).cmp(&(&b.namespace, &b.name, b.id)));
    let mut left = limits::TAILS_SHOWN_BYTES;
    running = running.into_iter().map(|row| super::job::with_less_output(row, &mut left)).collect();
    let mut events: Vec<_> =
        state.events.of_node(record.identity.id).map(|one| super::event(state, one)).collect();
    events.drain(..events.len().saturating_sub(limits::EVENTS_OF_NODE));
    NodeStatus { node: node(state, record), running, events, revision: state.revision }
}

/// Shows one line of the list of nodes.
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
        failure_domain: record.identity.failure_domain.clone(),
        drain: record.drain.as_ref().map(|one| drain(record, one)),
    }
}

fn drain(record: &NodeRecord, drain: &Drain) -> DrainView {
    DrainView {
        state: if drain.complete.is_some() { "drained" } else { "draining" }.to_owned(),
        by: drain.actor.clone(),
        message: drain.message.clone(),
        begun_at: drain.begun,
        deadline: drain.deadline,
        overdue: drain.overdue,
        left: u32::try_from(record.taking).unwrap_or(u32::MAX),
        complete_at: drain.complete,
    }
}
