//! Over which values allocations are spread, and what one more in each would cost.

use std::collections::{BTreeMap, BTreeSet};

use proto::expr::Path;
use proto::ids::NodeId;
use proto::model::Spread as Asked;

use super::demands::value;
use crate::core::state::{Alloc, Class, State};

/// All of a spread, in the unit of its costs: what a value costs that holds just its share and gets no more.
const WHOLE: u64 = 1000;

/// What a group asks to be spread over.
#[derive(Clone, Debug, Default)]
pub(super) struct Spreads {
    each: Vec<Spread>,
    /// Allocations wanted.
    count: u64,
}

#[derive(Clone, Debug)]
struct Spread {
    path: Path,
    weight: u64,
    targets: BTreeMap<String, u8>,
    used: BTreeMap<String, u64>,
    /// Values that nodes have: those that no target names share what the targets leave.
    values: BTreeSet<String>,
}

/// A place by its values, one for each spread; none: the node has no such fact.
pub(super) type Values = Vec<Option<String>>;

impl Spreads {
    /// Reads what is asked, and counts the allocations that fill their slots.
    pub(super) fn of<'a>(
        state: &State,
        asked: &[Asked],
        count: u32,
        others: impl Iterator<Item = &'a Alloc>,
    ) -> Self {
        let spread = |one: &Asked| {
            Some(Spread {
                path: one.over.parse().ok()?,
                weight: u64::from(one.weight),
                targets: one.targets.clone(),
                used: BTreeMap::new(),
                values: BTreeSet::new(),
            })
        };
        let mut spreads =
            Self { each: asked.iter().filter_map(spread).collect(), count: u64::from(count.max(1)) };
        if !spreads.each.is_empty() {
            let fleet = state.nodes.fleet();
            let seated = others.filter_map(|alloc| Some((alloc.node, fleet.class(fleet.seat(alloc.node)?))));
            for (node, class) in seated {
                let values = spreads.values(state, class, node);
                spreads.take(&values);
            }
        }
        spreads
    }

    /// Returns where a node stands.
    pub(super) fn values(&self, state: &State, class: Class, node: NodeId) -> Values {
        self.each.iter().map(|spread| value(state, &spread.path, class, node)).collect()
    }

    /// Returns whether nothing is asked.
    pub(super) fn is_nothing(&self) -> bool {
        self.each.is_empty()
    }

    /// Returns whether one of them is over something that each node has for itself.
    pub(super) fn is_of_one_node(&self) -> bool {
        self.each.iter().any(|spread| spread.path.is_of_one_node())
    }

    /// Says that nodes with these values could take an allocation.
    pub(super) fn offer(&mut self, values: &Values) {
        for (spread, value) in self.each.iter_mut().zip(values) {
            spread.values.extend(value.clone());
        }
    }

    /// Counts an allocation.
    pub(super) fn take(&mut self, values: &Values) {
        for (spread, value) in self.each.iter_mut().zip(values) {
            if let Some(value) = value {
                *spread.used.entry(value.clone()).or_default() += 1;
            }
        }
    }

    /// Returns what one more allocation costs at these values: with each spread its weight once a value holds just its share of all,
    /// less before, more beyond. Always taking the least gives every value its share, as voters their seats (D'Hondt).
    pub(super) fn cost(&self, values: &Values) -> i64 {
        let costs =
            self.each.iter().zip(values).map(|(spread, value)| spread.cost(value.as_deref(), self.count));
        costs.fold(0i64, |sum, cost| sum.saturating_add(i64::try_from(cost).unwrap_or(i64::MAX)))
    }
}

impl Spread {
    fn cost(&self, value: Option<&str>, count: u64) -> u64 {
        // What has no such fact is as good as a value that is full.
        let Some(value) = value else { return self.weight * WHOLE * 2 };
        let used = self.used.get(value).copied().unwrap_or(0);
        let (share, of) = self.share(value);
        // (used + 1) of count x share / of.
        (self.weight * WHOLE * (used + 1)).saturating_mul(of) / (share.max(1) * count)
    }

    /// Returns the share of a value as a fraction.
    fn share(&self, value: &str) -> (u64, u64) {
        if let Some(percent) = self.targets.get(value) {
            return (u64::from(*percent), 100);
        }
        let named: u64 = self.targets.values().map(|percent| u64::from(*percent)).sum();
        let others =
            self.values.iter().filter(|other| !self.targets.contains_key(*other)).count().max(1) as u64;
        (100u64.saturating_sub(named), 100 * others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(targets: &[(&str, u8)], values: &[&str]) -> Spreads {
        let spread = Spread {
            path: "meta.rack".parse().expect("a path"),
            weight: 50,
            targets: targets.iter().map(|(value, percent)| ((*value).to_owned(), *percent)).collect(),
            used: BTreeMap::new(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        Spreads { each: vec![spread], count: 10 }
    }

    /// Places ten, each where it costs least.
    fn ten(mut spreads: Spreads, values: &[&str]) -> Vec<u64> {
        for _ in 0..10 {
            let cheapest = values.iter().min_by_key(|value| spreads.cost(&vec![Some((**value).to_owned())]));
            spreads.take(&vec![cheapest.map(|value| (*value).to_owned())]);
        }
        let used = &spreads.each[0].used;
        values.iter().map(|value| used.get(*value).copied().unwrap_or(0)).collect()
    }

    #[test]
    fn values_get_their_shares() {
        let racks = ["r1", "r2", "r3"];
        assert_eq!(ten(spread(&[], &racks), &racks), [4, 3, 3]);
        assert_eq!(ten(spread(&[("r1", 50), ("r2", 30)], &racks), &racks), [5, 3, 2]);
        assert_eq!(ten(spread(&[("r1", 100)], &racks), &racks), [10, 0, 0]);
    }

    #[test]
    fn a_full_value_costs_its_weight() {
        let mut spreads = spread(&[("r1", 50)], &["r1"]);
        for _ in 0..4 {
            spreads.take(&vec![Some("r1".to_owned())]);
        }
        assert_eq!(spreads.cost(&vec![Some("r1".to_owned())]), 50_000);
        assert_eq!(spreads.cost(&vec![None]), 100_000, "without the fact");
    }
}
