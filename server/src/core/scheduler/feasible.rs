//! Whether a group fits on a node, and what stands in its way.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::ids::{JobKey, NodeId};
use proto::model::{Liveness, Port, Resources};

use super::room::Room;
use crate::core::state::{JobRecord, Need, Row, State};

/// What one allocation of a group asks of a node.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) job: Arc<JobKey>,
    pub(super) group: String,
    pub(super) need: Need,
    pub(super) static_ports: Vec<u16>,
    /// Nodes that cannot start it.
    pub(super) avoid: BTreeSet<NodeId>,
}

impl Ask {
    pub(super) fn of(record: &JobRecord, group: &str) -> Option<Self> {
        let spec = record.current().job.groups.get(group)?;
        let fixed = |port: &Port| match port {
            Port::Static(number) => Some(*number),
            Port::Dynamic => None,
        };
        let static_ports: Vec<u16> = spec.ports.values().filter_map(fixed).collect();
        let Resources { cpu_millis, memory_bytes } = spec.resources();
        let dynamic_ports = (spec.ports.len() - static_ports.len()) as u32;
        Some(Self {
            job: record.key.clone(),
            group: group.to_owned(),
            need: Need { cpu_millis, memory_bytes, dynamic_ports },
            static_ports,
            avoid: record.group(group).map(|state| state.avoid.clone()).unwrap_or_default(),
        })
    }

    /// Returns whether nothing but room could stand in the way: for most groups, so that no node is looked at twice.
    pub(super) fn asks_for_room_only(&self) -> bool {
        self.static_ports.is_empty() && self.avoid.is_empty()
    }

    /// Returns whether a node that has room and takes work takes this.
    pub(super) fn is_welcome(&self, node: NodeId, room: &Room<'_>) -> bool {
        self.asks_for_room_only() || (!self.avoid.contains(&node) && self.held_port(node, room).is_none())
    }

    fn held_port(&self, node: NodeId, room: &Room<'_>) -> Option<u16> {
        self.static_ports.iter().copied().find(|port| room.holds(node, *port))
    }

    /// Returns the first thing that stands in the way of one more allocation on a node.
    pub(super) fn obstacle(&self, state: &State, row: &Row, room: &Room<'_>) -> Option<Obstacle> {
        if !row.open {
            let is_down = state.nodes.get(&row.node).is_none_or(|node| node.liveness == Liveness::Down);
            return Some(if is_down { Obstacle::Down } else { Obstacle::Cordoned });
        }
        if self.avoid.contains(&row.node) {
            return Some(Obstacle::CannotStart);
        }
        if row.places == 0 {
            return Some(Obstacle::Full);
        }
        if row.cpu_millis.free < self.need.cpu_millis {
            return Some(Obstacle::Cpu);
        }
        if row.memory_bytes.free < self.need.memory_bytes {
            return Some(Obstacle::Memory);
        }
        if let Some(port) = self.held_port(row.node, room) {
            return Some(Obstacle::Port(port));
        }
        (row.dynamic_ports < self.need.dynamic_ports).then_some(Obstacle::DynamicPorts)
    }
}

/// What stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Obstacle {
    Down,
    Cordoned,
    CannotStart,
    Full,
    Cpu,
    Memory,
    Port(u16),
    DynamicPorts,
}
