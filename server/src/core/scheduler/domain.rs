//! Nodes that fit, by what is spread over: those with the same values form a domain, within which the order stays, whatever is placed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use proto::ids::NodeId;

use super::best::Best;
use super::rank::Choice;
use super::spread::{Spreads, Values};
use crate::core::state::{Class, State};

/// Nodes with the same values.
pub(super) struct Domain {
    pub(super) values: Values,
    pub(super) heap: BinaryHeap<Reverse<Choice>>,
}

/// Sorts nodes into domains.
pub(super) struct Domains<'s> {
    spreads: &'s Spreads,
    /// Whether there is one domain only.
    is_one: bool,
    /// Whether nodes of one kind are of one domain.
    of_kinds: bool,
    most: usize,
    all: Vec<(Values, Best<Choice>)>,
    by_values: BTreeMap<Values, usize>,
    by_class: Vec<Option<usize>>,
}

impl<'s> Domains<'s> {
    /// Begins with none. Each keeps `most` nodes at least.
    pub(super) fn new(spreads: &'s Spreads, most: usize) -> Self {
        let is_one = spreads.is_nothing();
        let all = if is_one { vec![(Values::new(), Best::new(most))] } else { Vec::new() };
        let of_kinds = spreads.is_of_kinds();
        Self { spreads, is_one, of_kinds, most, all, by_values: BTreeMap::new(), by_class: Vec::new() }
    }

    /// Returns the domain of a node. A kind of nodes is asked once, unless they may differ.
    pub(super) fn of(&mut self, state: &State, class: Class, node: NodeId) -> &mut Best<Choice> {
        if self.is_one {
            return &mut self.all[0].1;
        }
        let known = self.by_class.get(class.index()).copied().flatten();
        let number = known.unwrap_or_else(|| self.find(state, class, node));
        &mut self.all[number].1
    }

    fn find(&mut self, state: &State, class: Class, node: NodeId) -> usize {
        let values = self.spreads.values(state, class, node);
        let number = *self.by_values.entry(values).or_insert_with_key(|values| {
            self.all.push((values.clone(), Best::new(self.most)));
            self.all.len() - 1
        });
        if self.of_kinds {
            if self.by_class.len() <= class.index() {
                self.by_class.resize(class.index() + 1, None);
            }
            self.by_class[class.index()] = Some(number);
        }
        number
    }

    /// Returns all of them, in no order that would say anything.
    pub(super) fn into_heaps(self) -> impl Iterator<Item = Domain> {
        self.all.into_iter().map(|(values, best)| Domain { values, heap: best.into_heap() })
    }
}
