//! Where a group may run, and where it is best.

use std::collections::BTreeMap;

/// What a job says of the nodes that it wants. Expressions and names of facts are texts as they were written; see [`crate::expr`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Expressions that must hold on a node.
    pub constraints: Vec<String>,
    /// Expressions that make a node better or worse.
    pub affinities: Vec<Affinity>,
    /// Facts over whose values the allocations are spread.
    pub spread: Vec<Spread>,
    /// A fact of which no two allocations of the group may have the same value: `node`, `meta.rack`.
    pub distinct: Option<String>,
    /// The only node that takes it, by its name or id.
    pub node: Option<String>,
}

/// An expression that makes a node better or worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// The expression.
    pub when: String,
    /// How much, -100 to 100; below 0 such nodes are liked less.
    pub weight: i8,
}

/// A fact over whose values allocations are spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The fact: `meta.rack`.
    pub over: String,
    /// How much it counts beside affinities and other spreads, 1 to 100.
    pub weight: u8,
    /// The share of each value in percent, together at most 100; other values share the rest. Empty: all the same.
    pub targets: BTreeMap<String, u8>,
}

/// The weight of what does not name one.
pub const DEFAULT_WEIGHT: u8 = 50;
