//! The nodes that a group is for which runs once per node, and how many of it are wanted.

use proto::ids::NodeId;
use proto::model::{Group, Liveness};

use super::answers::Answers;
use super::demands::Demands;
use crate::core::state::{GroupState, JobRecord, State};

/// A group that runs once per node, beside all nodes.
pub(super) struct Everywhere<'s> {
    state: &'s State,
    demands: Demands,
}

impl<'s> Everywhere<'s> {
    /// Reads what the group asks of nodes.
    pub(super) fn of(state: &'s State, group: &Group, answers: &mut Answers) -> Self {
        Self { state, demands: Demands::of(state, group, std::iter::empty(), answers) }
    }

    /// Returns whether a node is right for it, whatever room it has and whether it takes work.
    pub(super) fn is_for(&self, node: NodeId) -> bool {
        let fleet = self.state.nodes.fleet();
        let seat = fleet.seat(node);
        seat.is_some_and(|seat| self.demands.against(self.state, fleet.class(seat), node).is_none())
    }

    /// Returns the nodes that are right for it and take work.
    pub(super) fn open(&self) -> impl Iterator<Item = NodeId> + '_ {
        let fleet = self.state.nodes.fleet();
        let open = fleet.all().filter(|(_, row)| row.open);
        let right = open
            .filter(|(seat, row)| self.demands.against(self.state, fleet.class(*seat), row.node).is_none());
        right.map(|(_, row)| row.node)
    }
}

/// How many slots a group has, and of how many the work is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Slots wanted, those that are done included.
    pub slots: u32,
    /// Slots whose work is done.
    pub done: u32,
}

/// Says how many of a group are wanted: its count, or one for every node that is up, right for it, and takes work or has it already.
///
/// A group of a stopped job is answered as if it ran. Cost: a look at every node where it runs once per node.
#[must_use]
pub fn wanted(state: &State, record: &JobRecord, name: &str) -> Wanted {
    let Some(group) = record.current().job.groups.get(name) else { return Wanted::default() };
    let nothing = GroupState::default();
    let memory = record.group(name).unwrap_or(&nothing);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    if !group.kind.is_per_node() {
        return Wanted { slots: group.count, done: number(memory.done.len()) };
    }
    let everywhere = Everywhere::of(state, group, &mut Answers::default());
    let filled = record.filled.get(name);
    let mut wanted = Wanted::default();
    for (_, row) in state.nodes.fleet().all() {
        let slot = memory.node_slots.slot_of(row.node);
        let is_up = || state.nodes.get(&row.node).is_some_and(|node| node.liveness == Liveness::Up);
        let is_done = slot.is_some_and(|slot| memory.done.contains(&slot)) && is_up();
        let has_it = slot.is_some_and(|slot| filled.is_some_and(|filled| filled.contains_key(&slot)));
        if (row.open || has_it || is_done) && everywhere.is_for(row.node) {
            wanted.slots += 1;
            wanted.done += u32::from(is_done);
        }
    }
    wanted
}
