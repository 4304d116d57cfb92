//! The table of nodes, with the columns that follow from it: whoever changes a record changes its row.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use proto::expr::Facts;
use proto::ids::NodeId;

use super::classes::Classes;
use super::fleet::{Fleet, Row, Share};
use super::{NodeRecord, Table};
use crate::limits::ALLOCS_PER_NODE;

/// All nodes that ever registered. A clone costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    rows: Table<NodeId, NodeRecord>,
    names: imbl::OrdSet<(Arc<str>, NodeId)>,
    domains: imbl::OrdSet<(Arc<str>, NodeId)>,
    classes: Classes,
    fleet: Fleet,
    draining: imbl::OrdSet<NodeId>,
}

impl Nodes {
    /// Returns the room of all nodes in columns.
    #[must_use]
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Returns the kinds of nodes that there are.
    #[must_use]
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Returns the record of that node.
    #[must_use]
    pub fn get(&self, id: &NodeId) -> Option<&Arc<NodeRecord>> {
        self.rows.get(id)
    }

    /// Returns the record of that node, to change all but its identity, which is put anew; the columns follow when the answer is dropped.
    pub fn get_mut(&mut self, id: &NodeId) -> Option<NodeMut<'_>> {
        let record = self.rows.get_mut(id)?;
        Some(NodeMut { record, fleet: &mut self.fleet, draining: &mut self.draining })
    }

    /// Returns the nodes of that name: at most one of them is up.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Arc<NodeRecord>> {
        let name: Arc<str> = Arc::from(name);
        let of_name = (name.clone(), NodeId(0))..=(name, NodeId(u64::MAX));
        self.names.range(of_name).filter_map(|(_, id)| self.rows.get(id))
    }

    /// Returns the nodes of a failure domain.
    pub fn of_domain(&self, domain: &str) -> impl Iterator<Item = &Arc<NodeRecord>> {
        let domain: Arc<str> = Arc::from(domain);
        let of_domain = (domain.clone(), NodeId(0))..=(domain, NodeId(u64::MAX));
        self.domains.range(of_domain).filter_map(|(_, id)| self.rows.get(id))
    }

    /// Returns the nodes whose work is to move to others, in the order of their ids.
    #[must_use]
    pub fn draining(&self) -> &imbl::OrdSet<NodeId> {
        &self.draining
    }

    /// Returns whether the work of a node is to move to others.
    #[must_use]
    pub fn is_draining(&self, id: NodeId) -> bool {
        // Most of the time nothing is drained, and this is asked of every allocation.
        !self.draining.is_empty() && self.draining.contains(&id)
    }

    /// Returns whether any node names what it fails together with.
    #[must_use]
    pub fn has_domains(&self) -> bool {
        !self.domains.is_empty()
    }

    /// Puts a node, in place of the one before.
    pub fn insert(&mut self, id: NodeId, record: NodeRecord) {
        // Joined before the one before is left: a node that registers again opens no new kind.
        let class = self.classes.join(Facts::of_kind(&record.identity));
        self.forget(id);
        self.names.insert((Arc::from(record.identity.name.as_str()), id));
        self.domains.extend(domain(&record).map(|domain| (domain, id)));
        self.fleet.put(id, row(&record), class);
        note_drain(&mut self.draining, &record);
        self.rows.insert(id, record);
    }

    /// Takes a node out; nothing happens when there is none.
    pub fn remove(&mut self, id: &NodeId) -> Option<Arc<NodeRecord>> {
        self.forget(*id);
        self.fleet.leave(*id);
        self.draining.remove(id);
        self.rows.remove(id)
    }

    fn forget(&mut self, id: NodeId) {
        if let Some(seat) = self.fleet.seat(id) {
            self.classes.leave(self.fleet.class(seat));
        }
        if let Some(before) = self.rows.get(&id) {
            self.names.remove(&(Arc::from(before.identity.name.as_str()), id));
            if let Some(domain) = domain(before) {
                self.domains.remove(&(domain, id));
            }
        }
    }

    /// Returns all nodes in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeId, &Arc<NodeRecord>)> {
        self.rows.iter()
    }

    /// Returns the number of nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// A node's record that is being changed.
pub struct NodeMut<'a> {
    record: &'a mut NodeRecord,
    fleet: &'a mut Fleet,
    draining: &'a mut imbl::OrdSet<NodeId>,
}

impl Deref for NodeMut<'_> {
    type Target = NodeRecord;

    fn deref(&self) -> &NodeRecord {
        self.record
    }
}

impl DerefMut for NodeMut<'_> {
    fn deref_mut(&mut self) -> &mut NodeRecord {
        self.record
    }
}

impl Drop for NodeMut<'_> {
    fn drop(&mut self) {
        self.fleet.update(self.record.identity.id, row(self.record));
        note_drain(self.draining, self.record);
    }
}

/// Keeps the list of nodes that are drained in step with a record.
fn note_drain(draining: &mut imbl::OrdSet<NodeId>, record: &NodeRecord) {
    let id = record.identity.id;
    if record.is_draining() {
        draining.insert(id);
    } else if !draining.is_empty() {
        draining.remove(&id);
    }
}

fn domain(record: &NodeRecord) -> Option<Arc<str>> {
    record.identity.failure_domain.as_deref().map(Arc::from)
}

/// Returns what the columns say of a node.
pub(super) fn row(node: &NodeRecord) -> Row {
    let (all, free) = (node.identity.capacity, node.free());
    Row {
        node: node.identity.id,
        open: node.takes_work(),
        places: ALLOCS_PER_NODE.saturating_sub(node.taking) as u32,
        cpu_millis: Share { all: all.cpu_millis, free: free.cpu_millis },
        memory_bytes: Share { all: all.memory_bytes, free: free.memory_bytes },
        dynamic_ports: node.ports.free_dynamic(),
    }
}
