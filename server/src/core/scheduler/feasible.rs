//! Whether a group fits on a node, and what stands in its way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::ids::NodeId;
use proto::model::{Eligibility, Liveness, Port, Resources};

use crate::core::state::{JobRecord, NodeRecord, free_dynamic_ports};
use crate::limits::ALLOCS_PER_NODE;

/// What one allocation of a group asks of a node.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) job: Arc<proto::ids::JobKey>,
    pub(super) group: String,
    pub(super) resources: Resources,
    pub(super) static_ports: Vec<u16>,
    pub(super) dynamic_ports: u64,
    pub(super) avoid: BTreeSet<NodeId>,
    /// How many of the group each node has already.
    pub(super) live: imbl::OrdSet<proto::ids::AllocId>,
}

impl Ask {
    pub(super) fn of(record: &JobRecord, group: &str) -> Option<Self> {
        let spec = record.current().job.groups.get(group)?;
        let fixed = |port: &Port| match port {
            Port::Static(number) => Some(*number),
            Port::Dynamic => None,
        };
        let static_ports: Vec<u16> = spec.ports.values().filter_map(fixed).collect();
        Some(Self {
            job: record.key.clone(),
            group: group.to_owned(),
            resources: spec.resources(),
            dynamic_ports: (spec.ports.len() - static_ports.len()) as u64,
            static_ports,
            avoid: record.group(group).map(|state| state.avoid.clone()).unwrap_or_default(),
            live: record.live.clone(),
        })
    }

    /// Returns the first thing that stands in the way of one more allocation there.
    pub(super) fn obstacle(&self, node: &NodeRecord, overlay: &Overlay) -> Option<Obstacle> {
        if node.liveness == Liveness::Down {
            return Some(Obstacle::Down);
        }
        if node.eligibility == Eligibility::Cordoned {
            return Some(Obstacle::Cordoned);
        }
        if self.avoid.contains(&node.identity.id) {
            return Some(Obstacle::CannotStart);
        }
        let taken = overlay.of(node.identity.id);
        if node.taking + taken.allocs >= ALLOCS_PER_NODE {
            return Some(Obstacle::Full);
        }
        let free = node.free().minus(taken.resources).unwrap_or_default();
        if self.resources.cpu_millis > free.cpu_millis {
            return Some(Obstacle::Cpu);
        }
        if self.resources.memory_bytes > free.memory_bytes {
            return Some(Obstacle::Memory);
        }
        let held = |port: &&u16| node.ports.contains(*port) || taken.ports.contains(port);
        if let Some(port) = self.static_ports.iter().find(held) {
            return Some(Obstacle::Port(*port));
        }
        if self.dynamic_ports > 0 && self.dynamic_ports + taken.dynamic_ports > free_dynamic_ports(node) {
            return Some(Obstacle::DynamicPorts);
        }
        None
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

/// What earlier placements of the same decision take, before the state knows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Overlay {
    nodes: BTreeMap<NodeId, Taken>,
}

/// What is taken of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    pub(super) allocs: usize,
    pub(super) resources: Resources,
    pub(super) ports: BTreeSet<u16>,
    pub(super) dynamic_ports: u64,
}

static NOTHING: std::sync::LazyLock<Taken> = std::sync::LazyLock::new(Taken::default);

impl Overlay {
    pub(super) fn of(&self, node: NodeId) -> &Taken {
        self.nodes.get(&node).unwrap_or(&NOTHING)
    }

    /// Takes room for one allocation.
    pub(super) fn take(&mut self, node: NodeId, ask: &Ask) {
        let taken = self.nodes.entry(node).or_default();
        taken.allocs += 1;
        taken.resources = taken.resources.plus(ask.resources);
        taken.ports.extend(&ask.static_ports);
        taken.dynamic_ports += ask.dynamic_ports;
    }
}
