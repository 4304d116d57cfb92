//! What is said of output that cannot be read: one sentence per node. Pure.

use std::collections::{BTreeMap, BTreeSet};

use proto::error::Error;
use proto::ids::NodeId;
use proto::model::Liveness;
use proto::time::Timestamp;

use crate::core::state::State;
use crate::ops::views;

/// Allocations that one sentence names.
const NAMED: usize = 8;

/// Sources that could not be opened, by their node and why.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    nodes: BTreeMap<(NodeId, String), Named>,
}

/// Allocations by their names, and whether the output of any is missing: not that of what runs elsewhere since.
#[derive(Debug, Default)]
struct Named {
    names: BTreeSet<String>,
    missing: bool,
}

impl Unreadable {
    /// Notes that the output of an allocation of that name could not be opened; `superseded`: another fills its slot.
    pub(super) fn note(&mut self, node: NodeId, name: String, error: &Error, superseded: bool) {
        let named = self.nodes.entry((node, error.message.clone())).or_default();
        named.names.insert(name);
        named.missing |= !superseded;
    }

    /// Returns the sentences, each with whether something that was asked for is missing.
    pub(super) fn sentences(self, state: &State, now: Timestamp) -> Vec<(String, bool)> {
        let down = |node: &NodeId| state.nodes.get(node).filter(|node| node.liveness == Liveness::Down);
        let mut told: BTreeMap<String, Named> = BTreeMap::new();
        for ((node, why), named) in self.nodes {
            let why = down(&node).map_or(why, |record| {
                let length = views::rough(now.since(record.since));
                format!("node {} has been down for {length}", views::node_name(state, node))
            });
            let all = told.entry(why).or_default();
            all.names.extend(named.names);
            all.missing |= named.missing;
        }
        told.into_iter()
            .map(|(why, Named { names, missing })| {
                (
                    format!("{why}: the output of {} there cannot be read until it is back", list(&names)),
                    missing,
                )
            })
            .collect()
    }
}

fn list(names: &BTreeSet<String>) -> String {
    let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use proto::error::Kind;

    use super::*;
    use crate::ops::testing::World;

    #[test]
    fn one_sentence_per_node_names_it_and_what_it_has_and_since_when_it_is_down() {
        let mut world = World::new(3);
        world.lose(1);
        let since = world.state.nodes.get(&NodeId(1)).expect("it").since;
        let mut unreadable = Unreadable::default();
        for (node, index, why) in
            [(1, 0, "node x is not connected"), (1, 1, "it did not dial"), (2, 2, "busy")]
        {
            let superseded = index != 1;
            let error = Error::new(Kind::Unavailable, why);
            unreadable.note(NodeId(node), format!("web.web.{index}"), &error, superseded);
        }
        let now = since.plus(std::time::Duration::from_secs(180));
        let name = &world.state.nodes.get(&NodeId(1)).expect("it").identity.name;
        let expected = [
            ("busy: the output of web.web.2 there cannot be read until it is back".to_owned(), false),
            (
                format!(
                    "node {name} has been down for 3m 0s: the output of web.web.0, web.web.1 there cannot be read until it is back"
                ),
                true,
            ),
        ];
        assert_eq!(unreadable.sentences(&world.state, now), expected);
    }

    #[test]
    fn of_very_many_the_first_are_named() {
        let names: BTreeSet<String> = (10..30).map(|index| format!("w.w.{index}")).collect();
        assert!(list(&names).ends_with("w.w.17 and 12 more"), "{}", list(&names));
    }
}
