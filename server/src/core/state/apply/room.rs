//! Room on nodes: taken when an allocation is placed, given back when its end is known or its node is lost.

use std::collections::BTreeMap;

use proto::ids::{AllocId, NodeId};
use proto::model::{Group, Port, Resources};

use crate::core::state::records::static_ports;
use crate::core::state::{Changes, NodeRecord, State};
use crate::limits::{ALLOCS_PER_NODE, DYNAMIC_PORT_FIRST, DYNAMIC_PORT_LAST};

impl State {
    /// Takes what an allocation needs from its node; nothing happens when it is counted already.
    pub(super) fn take_room(&mut self, id: AllocId) {
        let Some(alloc) = self.allocs.get_mut(id) else { return };
        if alloc.counted {
            return;
        }
        alloc.counted = true;
        let (node, resources, ports) = (alloc.node, alloc.resources, alloc.ports.clone());
        if let Some(mut node) = self.nodes.get_mut(&node) {
            count_in(&mut node, resources, &ports);
        }
    }

    /// Gives back what an allocation took; nothing happens when it is not counted.
    pub(super) fn give_room_back(&mut self, id: AllocId, changes: &mut Changes) {
        let Some(alloc) = self.allocs.get_mut(id) else { return };
        if !alloc.counted {
            return;
        }
        alloc.counted = false;
        let (node, resources, ports) = (alloc.node, alloc.resources, alloc.ports.clone());
        if let Some(mut record) = self.nodes.get_mut(&node) {
            record.taking = record.taking.saturating_sub(1);
            record.used = record.used.minus(resources).unwrap_or_default();
            ports.iter().for_each(|(_, port)| record.ports.remove(*port));
            changes.gained.insert(node);
        }
    }

    /// Returns why `count` allocations of a group have no room on a node, if so.
    pub(super) fn no_room(&self, node: NodeId, group: &Group, count: u32) -> Option<&'static str> {
        let record = self.nodes.get(&node)?;
        if record.taking + count as usize > ALLOCS_PER_NODE {
            return Some("allocations");
        }
        let (asked, free) = (group.resources(), record.free());
        let count = u64::from(count);
        if asked.cpu_millis.saturating_mul(count) > free.cpu_millis {
            return Some("cpu");
        }
        if asked.memory_bytes.saturating_mul(count) > free.memory_bytes {
            return Some("memory");
        }
        let mut fixed = static_ports(&group.ports).peekable();
        if fixed.peek().is_some() && (count > 1 || fixed.any(|port| record.ports.contains(port))) {
            return Some("ports");
        }
        let dynamic = group.ports.values().filter(|port| **port == Port::Dynamic).count() as u64;
        (dynamic.saturating_mul(count) > u64::from(record.ports.free_dynamic())).then_some("ports")
    }
}

/// Takes what an allocation needs.
pub(super) fn count_in(node: &mut NodeRecord, resources: Resources, ports: &[(String, u16)]) {
    node.taking += 1;
    node.used = node.used.plus(resources);
    ports.iter().for_each(|(_, port)| node.ports.insert(*port));
}

/// Picks the host ports of one allocation: static ones as they are, dynamic ones the next free after the cursor.
///
/// Returns none when a static port is taken or no dynamic one is left; then the cursor has moved and nothing else has.
pub(super) fn pick_ports(
    node: &mut NodeRecord,
    wanted: &BTreeMap<String, Port>,
) -> Option<Vec<(String, u16)>> {
    let mut picked: Vec<(String, u16)> = Vec::with_capacity(wanted.len());
    let mut fixed: Vec<u16> = static_ports(wanted).collect();
    if fixed.iter().any(|port| node.ports.contains(*port)) {
        return None;
    }
    for (name, port) in wanted {
        let number = match port {
            Port::Static(number) => *number,
            Port::Dynamic => {
                let number = next_port(node, &fixed)?;
                fixed.push(number);
                number
            }
        };
        picked.push((name.clone(), number));
    }
    Some(picked)
}

fn next_port(node: &mut NodeRecord, taken: &[u16]) -> Option<u16> {
    let span = DYNAMIC_PORT_LAST - DYNAMIC_PORT_FIRST + 1;
    for _ in 0..span {
        let port = node.port_cursor;
        node.port_cursor = if port >= DYNAMIC_PORT_LAST { DYNAMIC_PORT_FIRST } else { port + 1 };
        if !node.ports.contains(port) && !taken.contains(&port) {
            return Some(port);
        }
    }
    None
}
