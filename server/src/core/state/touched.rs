//! What of a node its agent may have to be told: which allocations were touched, or that it is to be looked at as a whole.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use proto::ids::{AllocId, NodeId};

use crate::limits::TOUCHED_MAX;

/// What of a node was touched. An allocation may be named twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// One allocation, which is most often so.
    One(AllocId),
    /// Some, at most [`TOUCHED_MAX`].
    Some(Vec<AllocId>),
    /// More, or not an allocation: everything is to be looked at.
    All,
}

impl Touched {
    /// Adds what else was touched.
    pub fn absorb(&mut self, other: Self) {
        let own = std::mem::replace(self, Self::All);
        let (mut some, others) = match (own, other) {
            (Self::All, _) | (_, Self::All) => return,
            (Self::One(one), Self::One(other)) if one == other => return *self = Self::One(one),
            (own, other) => (own.into_vec(), other),
        };
        match others {
            Self::One(one) => some.push(one),
            Self::Some(list) => some.extend(list),
            Self::All => return,
        }
        if some.len() <= TOUCHED_MAX {
            *self = Self::Some(some);
        }
    }

    fn into_vec(self) -> Vec<AllocId> {
        match self {
            Self::One(one) => vec![one],
            Self::Some(list) => list,
            Self::All => Vec::new(),
        }
    }
}

/// The nodes of which something was touched.
#[derive(Clone, Debug, Default)]
pub struct Touches {
    nodes: BTreeMap<NodeId, Touched>,
}

impl Touches {
    /// Notes an allocation of a node.
    pub fn alloc(&mut self, node: NodeId, alloc: AllocId) {
        self.add(node, Touched::One(alloc));
    }

    /// Notes a node as a whole.
    pub fn node(&mut self, node: NodeId) {
        self.add(node, Touched::All);
    }

    /// Adds what else was touched.
    pub fn absorb(&mut self, other: Self) {
        for (node, touched) in other {
            self.add(node, touched);
        }
    }

    /// Returns whether nothing was touched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn add(&mut self, node: NodeId, touched: Touched) {
        match self.nodes.entry(node) {
            Entry::Vacant(vacant) => {
                vacant.insert(touched);
            }
            Entry::Occupied(mut known) => known.get_mut().absorb(touched),
        }
    }
}

impl IntoIterator for Touches {
    type Item = (NodeId, Touched);
    type IntoIter = std::collections::btree_map::IntoIter<NodeId, Touched>;

    fn into_iter(self) -> Self::IntoIter {
        self.nodes.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_named_and_too_much_is_all() {
        let mut touched = Touched::One(AllocId(1));
        touched.absorb(Touched::One(AllocId(1)));
        assert_eq!(touched, Touched::One(AllocId(1)));
        touched.absorb(Touched::Some(vec![AllocId(3), AllocId(2)]));
        assert_eq!(touched, Touched::Some(vec![AllocId(1), AllocId(3), AllocId(2)]));
        (0..TOUCHED_MAX as u64).for_each(|id| touched.absorb(Touched::One(AllocId(id))));
        assert_eq!(touched, Touched::All);
        touched.absorb(Touched::One(AllocId(1)));
        assert_eq!(touched, Touched::All);
    }

    #[test]
    fn all_swallows_what_was_named() {
        let mut touched = Touched::One(AllocId(1));
        touched.absorb(Touched::All);
        assert_eq!(touched, Touched::All);
    }
}
