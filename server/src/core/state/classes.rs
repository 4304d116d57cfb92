//! Nodes of one kind: what an expression says of one of them, it says of all. An expression is answered once per kind.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use proto::expr::Facts;

/// A kind of nodes; the number of one that has no node any more is given out again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(u32);

impl Class {
    /// Returns its number, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The kinds that there are. A clone costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    by_facts: OrdMap<Arc<Facts>, Class>,
    members: OrdMap<Class, (Arc<Facts>, u32)>,
    vacant: OrdSet<Class>,
    epoch: u64,
}

impl Classes {
    /// Returns the facts that nodes of a kind share; none: there is no such kind.
    #[must_use]
    pub fn facts(&self, class: Class) -> Option<&Arc<Facts>> {
        self.members.get(&class).map(|(facts, _)| facts)
    }

    /// Returns a number that changes whenever a kind comes or goes.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns how many numbers have been given out: all kinds are below.
    #[must_use]
    pub fn numbers(&self) -> usize {
        self.members.len() + self.vacant.len()
    }

    /// Returns all kinds with their facts.
    pub fn iter(&self) -> impl Iterator<Item = (Class, &Facts)> {
        self.members.iter().map(|(class, (facts, _))| (*class, &**facts))
    }

    /// Counts a node in, and returns its kind.
    pub(super) fn join(&mut self, facts: Facts) -> Class {
        let known = self.by_facts.get(&facts).copied();
        let class = known.unwrap_or_else(|| self.open(facts));
        if let Some((_, count)) = self.members.get_mut(&class) {
            *count += 1;
        }
        class
    }

    /// Counts a node out; a kind without nodes is gone.
    pub(super) fn leave(&mut self, class: Class) {
        let Some((facts, count)) = self.members.get_mut(&class) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        let facts = facts.clone();
        self.members.remove(&class);
        self.by_facts.remove(&facts);
        self.vacant.insert(class);
        self.epoch += 1;
    }

    fn open(&mut self, facts: Facts) -> Class {
        let class = self.vacant.remove_min().unwrap_or_else(|| Class(self.members.len() as u32));
        let facts = Arc::new(facts);
        self.by_facts.insert(facts.clone(), class);
        self.members.insert(class, (facts, 0));
        self.epoch += 1;
        class
    }
}

#[cfg(test)]
mod tests {
    use proto::expr::Facts;

    use super::*;
    use crate::core::testing::node_identity;

    fn facts(rack: &str) -> Facts {
        let mut identity = node_identity(1);
        identity.attributes.insert("meta.rack".into(), rack.into());
        Facts::of_kind(&identity)
    }

    #[test]
    fn nodes_of_the_same_facts_are_of_one_kind_until_the_last_has_gone() {
        let mut classes = Classes::default();
        let (first, second) = (classes.join(facts("r1")), classes.join(facts("r1")));
        let other = classes.join(facts("r2"));
        assert!(first == second && first != other);
        let epoch = classes.epoch();
        classes.leave(first);
        assert_eq!((classes.epoch(), classes.facts(first).is_some()), (epoch, true));
        classes.leave(first);
        assert!(classes.epoch() > epoch && classes.facts(first).is_none());
        assert_eq!(classes.join(facts("r3")), first, "its number is given out again");
        assert_eq!(classes.numbers(), 2);
    }
}
