//! The best nodes of each domain: of those with the same values of what is spread over.

use std::collections::BTreeMap;

use super::best::Best;
use super::rank::Choice;
use super::spread::{Spreads, Values};
use crate::core::state::{Class, Fit, State};

/// Domains with the best of each.
pub(super) struct Domains {
    most: usize,
    each: Vec<(Values, Best<Choice>)>,
    by_values: BTreeMap<Values, usize>,
    /// The domain of each kind of nodes that was met: they have the same values, unless one node alone has them.
    by_class: Vec<Option<usize>>,
    is_alone: bool,
    is_of_one_node: bool,
}

impl Domains {
    /// Begins to collect, of each domain so many.
    pub(super) fn new(most: usize, spreads: &Spreads) -> Self {
        let is_alone = spreads.is_nothing();
        let each = if is_alone { vec![(Values::new(), Best::new(most))] } else { Vec::new() };
        Self {
            most,
            each,
            by_values: BTreeMap::new(),
            by_class: Vec::new(),
            is_alone,
            is_of_one_node: spreads.is_of_one_node(),
        }
    }

    /// Returns the best of the domain where a node stands.
    pub(super) fn of(&mut self, spreads: &Spreads, state: &State, fit: &Fit) -> &mut Best<Choice> {
        let number = if self.is_alone { 0 } else { self.number(spreads, state, fit) };
        &mut self.each[number].1
    }

    /// Returns all of them.
    pub(super) fn into_each(self) -> Vec<(Values, Best<Choice>)> {
        self.each
    }

    fn number(&mut self, spreads: &Spreads, state: &State, fit: &Fit) -> usize {
        let known = |class: Class, by_class: &[Option<usize>]| by_class.get(class.index()).copied().flatten();
        if let Some(number) = known(fit.class, &self.by_class) {
            return number;
        }
        let values = spreads.values(state, fit.class, fit.node);
        let number = self.by_values.get(&values).copied().unwrap_or(self.each.len());
        if number == self.each.len() {
            self.by_values.insert(values.clone(), number);
            self.each.push((values, Best::new(self.most)));
        }
        if !self.is_of_one_node {
            if self.by_class.len() <= fit.class.index() {
                self.by_class.resize(fit.class.index() + 1, None);
            }
            self.by_class[fit.class.index()] = Some(number);
        }
        number
    }
}
