//! What a group asks of a node, beside that it is good.

use std::collections::BTreeSet;

use proto::expr::{Expr, Facts, Path};
use proto::ids::NodeId;
use proto::model::{Eligibility, Group, Liveness, NodeIdentity};
use server::core::state::{JobRecord, NodeRecord, State};

use super::keep::Keepers;
use super::room::Rooms;

pub struct Rules<'s> {
    record: &'s JobRecord,
    name: String,
    group: Group,
    constraints: Vec<Expr>,
    distinct: Option<Path>,
    /// Nodes where a start of this work failed.
    avoid: BTreeSet<NodeId>,
}

impl<'s> Rules<'s> {
    pub fn of(_: &State, record: &'s JobRecord, group: &str) -> Self {
        let spec = record.current().job.groups[group].clone();
        let constraints = spec.placement.constraints.iter().map(|text| Expr::parse(text).unwrap()).collect();
        let distinct = spec.placement.distinct.as_ref().map(|text| text.parse().unwrap());
        let avoid = record.group(group).map(|memory| memory.avoid.clone()).unwrap_or_default();
        Self { record, name: group.to_owned(), group: spec, constraints, distinct, avoid }
    }

    /// Returns whether a node is what the group asks for, whatever room it has and whatever else runs there.
    pub fn allow(&self, node: &NodeIdentity) -> bool {
        let facts = Facts::of(node);
        let pin = self.group.placement.node.as_ref();
        pin.is_none_or(|pin| *pin == node.name || *pin == node.id.to_string())
            && self.group.declared_volumes().all(|volume| facts.has_volume(volume))
            && self.constraints.iter().all(|constraint| constraint.holds(&facts))
    }

    /// Returns whether it is so of nodes of that kind: what nodes of a kind may differ in does not count.
    pub fn allow_kind(&self, node: &NodeIdentity) -> bool {
        let facts = Facts::of_kind(node);
        let of_kind = |constraint: &&Expr| !constraint.is_of_one_node();
        self.group.declared_volumes().all(|volume| facts.has_volume(volume))
            && self.constraints.iter().filter(of_kind).all(|constraint| constraint.holds(&facts))
    }

    /// Returns the nodes that take one more, where others of the group are on `taken`.
    pub fn takers(&self, state: &State, rooms: &Rooms, keepers: &Keepers, taken: &[NodeId]) -> Vec<NodeId> {
        let has_room =
            |id: &NodeId| rooms.node(*id).fits(&self.group) && keepers.allow(*id, self.record, &self.name);
        self.welcoming(state, taken).into_iter().filter(has_room).collect()
    }

    /// Returns the nodes that would take one more if they had the room.
    pub fn welcoming(&self, state: &State, taken: &[NodeId]) -> Vec<NodeId> {
        let takes = |id: &NodeId, node: &NodeRecord| {
            node.liveness == Liveness::Up
                && node.eligibility == Eligibility::Eligible
                && self.allow(&node.identity)
                && !self.avoid.contains(id)
                && self.is_distinct(state, &node.identity, taken)
        };
        state.nodes.iter().filter(|(id, node)| takes(id, node)).map(|(id, _)| *id).collect()
    }

    pub fn is_distinct_in_something(&self) -> bool {
        self.distinct.is_some()
    }

    /// Returns whether the fact that must be distinct is one that no other of the group has.
    fn is_distinct(&self, state: &State, node: &NodeIdentity, taken: &[NodeId]) -> bool {
        let Some(path) = &self.distinct else { return true };
        let Some(value) = Facts::of(node).value(path) else { return false };
        !taken.iter().any(|other| fact(state, *other, path) == Some(value.clone()))
    }
}

/// Returns a fact of a node; none: it has no such fact.
pub fn fact(state: &State, node: NodeId, path: &Path) -> Option<String> {
    Facts::of(&state.nodes.get(&node)?.identity).value(path)
}
