//! The room that a decision still has: what the state knows, less what the decision itself has given away.

use std::borrow::Cow;
use std::collections::BTreeSet;

use proto::ids::{JobKey, NodeId};

use super::feasible::Ask;
use super::kept::Kept;
use crate::core::state::{Fleet, Nodes, Seat, State};

/// The columns of the fleet, and the static ports that were given away.
pub(super) struct Room<'s> {
    nodes: &'s Nodes,
    pub(super) fleet: Fleet,
    ports: BTreeSet<(NodeId, u16)>,
    kept: Cow<'s, Kept>,
}

impl<'s> Room<'s> {
    pub(super) fn of(state: &'s State) -> Self {
        let kept = Cow::Owned(Kept::default());
        Self { nodes: &state.nodes, fleet: state.nodes.fleet().clone(), ports: BTreeSet::new(), kept }
    }

    /// Looks at the same room, of which some is kept.
    pub(super) fn keeping(state: &'s State, kept: &'s Kept) -> Self {
        Self { kept: Cow::Borrowed(kept), ..Self::of(state) }
    }

    /// Returns whether no room is kept.
    pub(super) fn keeps_nothing(&self) -> bool {
        self.kept.is_nothing()
    }

    /// Returns for whom a node's room is kept, if not for who asks.
    pub(super) fn kept_from(&self, node: NodeId, ask: &Ask) -> Option<&JobKey> {
        self.kept.against(node, ask)
    }

    /// Returns whether a node's room is kept for who asks.
    pub(super) fn is_kept_for(&self, node: NodeId, ask: &Ask) -> bool {
        self.kept.is_for(node, ask)
    }

    /// Returns whether something gives way on a node to somebody else than who asks.
    pub(super) fn is_promised_to_another(&self, node: NodeId, ask: &Ask) -> bool {
        self.kept.is_promised_to_another(node, ask)
    }

    /// Keeps a node where something gives way to who asks: whoever comes later in this decision finds it kept.
    pub(super) fn keep(&mut self, node: NodeId, ask: &Ask) {
        self.kept.to_mut().keep(node, ask);
    }

    /// Returns what is kept now.
    pub(super) fn into_kept(self) -> Kept {
        self.kept.into_owned()
    }

    /// Returns whether somebody has that port of a node.
    pub(super) fn holds(&self, node: NodeId, port: u16) -> bool {
        let held = self.nodes.get(&node).is_some_and(|record| record.ports.contains(port));
        held || self.ports.contains(&(node, port))
    }

    /// Returns whether this decision has given that port of a node away.
    pub(super) fn has_given(&self, node: NodeId, port: u16) -> bool {
        self.ports.contains(&(node, port))
    }

    /// Takes room for one allocation.
    pub(super) fn take(&mut self, seat: Seat, node: NodeId, ask: &Ask) {
        self.fleet.take(seat, ask.need);
        self.ports.extend(ask.static_ports.iter().map(|port| (node, *port)));
    }
}
