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
    nodes: BTreeMap<(NodeId, String), BTreeSet<String>>,
}

impl Unreadable {
    /// Notes that the output of an allocation of that name could not be opened.
    pub(super) fn note(&mut self, node: NodeId, name: String, error: &Error) {
        self.nodes.entry((node, error.message.clone())).or_default().insert(name);
    }

    /// Returns the sentences.
    pub(super) fn sentences(self, state: &State, now: Timestamp) -> Vec<String> {
        let down = |node: &NodeId| state.nodes.get(node).filter(|node| node.liveness == Liveness::Down);
        let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for ((node, why), names) in self.nodes {
            let why = down(&node).map_or(why, |record| {
                let ago = views::rough(now.since(record.since));
                format!("node {} is down since {ago} ago", views::node_name(state, node))
            });
            told.entry(why).or_default().extend(names);
        }
        told.into_iter()
            .map(|(why, names)| {
                format!("{why}: the output of {} there cannot be read until it is back", list(&names))
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
            let error = Error::new(Kind::Unavailable, why);
            unreadable.note(NodeId(node), format!("web.web.{index}"), &error);
        }
        let now = since.plus(std::time::Duration::from_secs(180));
        let name = &world.state.nodes.get(&NodeId(1)).expect("it").identity.name;
        let expected = [
            "busy: the output of web.web.2 there cannot be read until it is back".to_owned(),
            format!(
                "node {name} is down since 3m 0s ago: the output of web.web.0, web.web.1 there cannot be read until it is back"
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
