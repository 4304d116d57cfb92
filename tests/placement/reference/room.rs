//! What nodes have left, counted from what they run.

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::NodeId;
use proto::model::{Group, Port};
use server::core::state::{Alloc, State};
use server::limits::{ALLOCS_PER_NODE, DYNAMIC_PORT_FIRST, DYNAMIC_PORT_LAST};

/// What one node has, and what of that is taken.
#[derive(Clone)]
pub struct Room {
    pub cpu: (u64, u64),
    pub memory: (u64, u64),
    allocs: usize,
    static_ports: BTreeSet<u16>,
    dynamic_ports: usize,
}

/// All nodes.
pub struct Rooms(BTreeMap<NodeId, Room>);

impl Rooms {
    pub fn of(state: &State) -> Self {
        Self::without(state, |_| false)
    }

    /// As if some had ended.
    pub fn without(state: &State, has_ended: impl Fn(&Alloc) -> bool) -> Self {
        let mut rooms = BTreeMap::new();
        for (id, node) in state.nodes.iter() {
            let all = node.identity.capacity;
            let foreign = node.foreign.values();
            let cpu = foreign.clone().map(|part| part.cpu_millis).sum();
            let memory = foreign.map(|part| part.memory_bytes).sum();
            let room = Room {
                cpu: (all.cpu_millis, cpu),
                memory: (all.memory_bytes, memory),
                allocs: 0,
                static_ports: BTreeSet::new(),
                dynamic_ports: 0,
            };
            rooms.insert(*id, room);
        }
        for (_, alloc) in state.allocs.iter().filter(|(_, alloc)| alloc.counted && !has_ended(alloc)) {
            let room = rooms.get_mut(&alloc.node).unwrap();
            room.cpu.1 += alloc.resources.cpu_millis;
            room.memory.1 += alloc.resources.memory_bytes;
            room.allocs += 1;
            for (_, port) in alloc.ports.iter() {
                room.static_ports.insert(*port);
                room.dynamic_ports += usize::from((DYNAMIC_PORT_FIRST..=DYNAMIC_PORT_LAST).contains(port));
            }
        }
        Self(rooms)
    }

    pub fn node(&self, node: NodeId) -> &Room {
        &self.0[&node]
    }

    /// Takes what one allocation takes.
    pub fn take(&mut self, node: NodeId, group: &Group) {
        self.0.get_mut(&node).unwrap().take(group);
    }

    /// Gives back what one took.
    pub fn end(&mut self, alloc: &Alloc) {
        let room = self.0.get_mut(&alloc.node).unwrap();
        room.end_but_for_ports(alloc);
        for (_, port) in alloc.ports.iter() {
            room.static_ports.remove(port);
            room.dynamic_ports -= usize::from((DYNAMIC_PORT_FIRST..=DYNAMIC_PORT_LAST).contains(port));
        }
    }
}

impl Room {
    pub fn take(&mut self, group: &Group) {
        self.cpu.1 += group.resources().cpu_millis;
        self.memory.1 += group.resources().memory_bytes;
        self.allocs += 1;
        for port in group.ports.values() {
            match port {
                Port::Static(number) => drop(self.static_ports.insert(*number)),
                Port::Dynamic => self.dynamic_ports += 1,
            }
        }
    }

    /// Gives back what one took, but for its ports.
    pub fn end_but_for_ports(&mut self, alloc: &Alloc) {
        self.cpu.1 -= alloc.resources.cpu_millis;
        self.memory.1 -= alloc.resources.memory_bytes;
        self.allocs -= 1;
    }

    /// Returns whether CPU and memory are enough for one more.
    pub fn has_enough(&self, group: &Group) -> bool {
        let asked = group.resources();
        self.cpu.1 + asked.cpu_millis <= self.cpu.0 && self.memory.1 + asked.memory_bytes <= self.memory.0
    }

    /// Returns whether one more allocation has room.
    pub fn fits(&self, group: &Group) -> bool {
        let dynamic = group.ports.values().filter(|port| **port == Port::Dynamic).count();
        let is_held =
            |port: &Port| matches!(port, Port::Static(number) if self.static_ports.contains(number));
        self.allocs < ALLOCS_PER_NODE
            && self.has_enough(group)
            && !group.ports.values().any(is_held)
            && self.dynamic_ports + dynamic <= usize::from(DYNAMIC_PORT_LAST - DYNAMIC_PORT_FIRST) + 1
    }
}
