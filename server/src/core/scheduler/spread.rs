//! Over which values allocations are spread, and what one more in each would cost.
//!
//! A group of several that asks for no spread is spread over failure domains: not by a weight, which would stand against what the job
//! likes, but as the next thing after it. A node that names no domain is one of its own, because nothing is known to fail with it:
//! taking all such nodes for one domain would crowd a cluster in which few are named onto those, and leaving them out of the count
//! would crowd it onto the others.

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
    /// Nothing is asked: the fact of the failure domains, and how many of the group each has.
    domains: Option<(Path, BTreeMap<String, u32>)>,
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
        let by_domain = asked.is_empty() && count > 1 && state.nodes.has_domains();
        let mut spreads = Self {
            each: asked.iter().filter_map(spread).collect(),
            count: u64::from(count.max(1)),
            domains: by_domain.then(|| (Path::failure_domain(), BTreeMap::new())),
        };
        if !spreads.is_nothing() {
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
        self.paths().map(|path| value(state, path, class, node)).collect()
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.each.iter().map(|spread| &spread.path).chain(self.domains.iter().map(|(path, _)| path))
    }

    /// Returns whether all nodes of a kind have the same values.
    pub(super) fn is_of_kinds(&self) -> bool {
        !self.paths().any(Path::is_of_one_node)
    }

    /// Returns whether there is nothing to spread over.
    pub(super) fn is_nothing(&self) -> bool {
        self.each.is_empty() && self.domains.is_none()
    }

    /// Returns how many of the group are in the failure domain of these values; none: groups are not spread over those, or it has
    /// no name and is the node alone.
    pub(super) fn in_domain(&self, values: &Values) -> Option<u32> {
        let (_, used) = self.domains.as_ref()?;
        let domain = values.last()?.as_deref()?;
        Some(used.get(domain).copied().unwrap_or(0))
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
        if let (Some((_, used)), Some(Some(domain))) = (&mut self.domains, values.last()) {
            *used.entry(domain.clone()).or_default() += 1;
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
        let Some(value) = value else { return self.cost_without(count) };
        let used = self.used.get(value).copied().unwrap_or(0);
        let share = match self.targets.get(value) {
            Some(percent) => (u64::from(*percent), 100),
            None => self.share_of_others(),
        };
        self.cost_of(used + 1, share, count)
    }

    /// What has no such fact is as good as a value that is full. Where there are more values than allocations one is a full one, so
    /// that nothing goes where there is no value while values are left.
    fn cost_without(&self, count: u64) -> u64 {
        let first = self.cost_of(1, self.share_of_others(), count);
        first.max(self.weight * WHOLE).saturating_mul(2)
    }

    /// Returns what it costs that a value has so many of its share of all.
    fn cost_of(&self, has: u64, (share, of): (u64, u64), count: u64) -> u64 {
        (self.weight * WHOLE * has).saturating_mul(of) / (share.max(1) * count)
    }

    /// Returns the share of each value that no target names, as a fraction.
    fn share_of_others(&self) -> (u64, u64) {
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
        Spreads { each: vec![spread], count: 10, domains: None }
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

    #[test]
    fn where_there_are_more_values_than_allocations_none_goes_where_there_is_no_value() {
        let mut spreads = Spreads { count: 2, ..spread(&[], &["r1", "r2", "r3", "r4", "r5"]) };
        let none = spreads.cost(&vec![None]);
        for value in ["r1", "r2"] {
            assert!(spreads.cost(&vec![Some(value.to_owned())]) < none, "{value}");
            spreads.take(&vec![Some(value.to_owned())]);
        }
    }
}
