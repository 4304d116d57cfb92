//! Which slot is which node's, in a group that runs once per node: the same one again, whatever ended there.

use imbl::OrdMap;
use proto::ids::NodeId;

/// A slot for each node that ever ran something of the group, and a node for each such slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSlots {
    of_node: OrdMap<NodeId, u32>,
    of_slot: OrdMap<u32, NodeId>,
}

impl NodeSlots {
    /// Returns the slot of a node.
    #[must_use]
    pub fn slot_of(&self, node: NodeId) -> Option<u32> {
        self.of_node.get(&node).copied()
    }

    /// Returns the node of a slot.
    #[must_use]
    pub fn node_of(&self, slot: u32) -> Option<NodeId> {
        self.of_slot.get(&slot).copied()
    }

    /// Returns the pairs by node.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, u32)> + '_ {
        self.of_node.iter().map(|(node, slot)| (*node, *slot))
    }

    /// Returns whether the pair stands, or neither of the two is given.
    #[must_use]
    pub fn accepts(&self, node: NodeId, slot: u32) -> bool {
        match self.slot_of(node) {
            Some(own) => own == slot,
            None => !self.of_slot.contains_key(&slot),
        }
    }

    /// Gives a slot to a node. What either had before is forgotten.
    pub(super) fn give(&mut self, node: NodeId, slot: u32) {
        if let Some(before) = self.of_node.insert(node, slot).filter(|before| *before != slot) {
            self.of_slot.remove(&before);
        }
        if let Some(before) = self.of_slot.insert(slot, node).filter(|before| *before != node) {
            self.of_node.remove(&before);
        }
    }

    /// Forgets a node; returns the slot that is free now.
    pub(super) fn forget(&mut self, node: NodeId) -> Option<u32> {
        let slot = self.of_node.remove(&node)?;
        self.of_slot.remove(&slot);
        Some(slot)
    }
}

impl FromIterator<(NodeId, u32)> for NodeSlots {
    fn from_iter<I: IntoIterator<Item = (NodeId, u32)>>(pairs: I) -> Self {
        let mut slots = Self::default();
        pairs.into_iter().for_each(|(node, slot)| slots.give(node, slot));
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_slot_and_no_two_share_one() {
        let (a, b) = (NodeId(1), NodeId(2));
        let mut slots = NodeSlots::default();
        slots.give(a, 0);
        assert!(slots.accepts(a, 0) && !slots.accepts(a, 1) && !slots.accepts(b, 0) && slots.accepts(b, 1));
        slots.give(b, 0);
        assert_eq!((slots.slot_of(a), slots.node_of(0)), (None, Some(b)));
        slots.give(b, 5);
        assert_eq!((slots.node_of(0), slots.iter().collect::<Vec<_>>()), (None, vec![(b, 5)]));
        assert_eq!((slots.forget(b), slots.forget(b)), (Some(5), None));
        assert_eq!(slots, NodeSlots::default());
    }
}
