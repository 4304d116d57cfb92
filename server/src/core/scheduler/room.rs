//! The room that a decision still has: what the state knows, less what the decision itself has given away.

use std::collections::BTreeSet;

use proto::ids::NodeId;

use super::feasible::Ask;
use crate::core::state::{Fleet, Nodes, Seat, State};

/// The columns of the fleet, and the static ports that were given away.
pub(super) struct Room<'s> {
    nodes: &'s Nodes,
    pub(super) fleet: Fleet,
    ports: BTreeSet<(NodeId, u16)>,
}

impl<'s> Room<'s> {
    pub(super) fn of(state: &'s State) -> Self {
        Self { nodes: &state.nodes, fleet: state.nodes.fleet().clone(), ports: BTreeSet::new() }
    }

    /// Returns whether somebody has that port of a node.
    pub(super) fn holds(&self, node: NodeId, port: u16) -> bool {
        let held = self.nodes.get(&node).is_some_and(|record| record.ports.contains(port));
        held || self.ports.contains(&(node, port))
    }

    /// Takes room for one allocation.
    pub(super) fn take(&mut self, seat: Seat, node: NodeId, ask: &Ask) {
        self.fleet.take(seat, ask.need);
        self.ports.extend(ask.static_ports.iter().map(|port| (node, *port)));
    }
}
