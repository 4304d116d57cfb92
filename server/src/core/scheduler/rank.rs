//! Which of the nodes that fit is best: fewest of the same group first, then the fullest that stays balanced, then the lowest id.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use proto::ids::NodeId;
use proto::model::Resources;

use super::Want;
use super::feasible::{Ask, Overlay};
use crate::core::state::{NodeRecord, State};

/// Nodes that fit, the best on top.
pub(super) struct Candidates {
    heap: BinaryHeap<Reverse<Choice>>,
    feasible: usize,
}

/// A node that fits. The order is the rank: the least is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Choice {
    pub(super) copies: u32,
    waste: u32,
    pub(super) node: NodeId,
    pub(super) cpu_permille: u32,
    pub(super) memory_permille: u32,
}

impl Candidates {
    pub(super) fn collect(state: &State, ask: &Ask, overlay: &Overlay) -> Self {
        let mut copies: BTreeMap<NodeId, u32> = BTreeMap::new();
        let live = ask.live.iter().filter_map(|id| state.allocs.get(*id));
        for alloc in live.filter(|alloc| !alloc.lost && *alloc.group == *ask.group) {
            *copies.entry(alloc.node).or_default() += 1;
        }
        let fits = |(id, node): (&NodeId, &std::sync::Arc<NodeRecord>)| {
            let free_of_obstacles = ask.obstacle(node, overlay).is_none();
            free_of_obstacles.then(|| choice(node, ask, overlay, copies.get(id).copied().unwrap_or(0)))
        };
        let heap: BinaryHeap<_> = state.nodes.iter().filter_map(fits).map(Reverse).collect();
        Self { feasible: heap.len(), heap }
    }

    /// Returns how many nodes could have taken the first one.
    pub(super) fn feasible(&self) -> usize {
        self.feasible
    }

    /// Takes the best place for one allocation, and counts it in the overlay: the node that it prefers if that fits, the one that
    /// it avoids only if no other does.
    pub(super) fn take_best(
        &mut self,
        state: &State,
        ask: &Ask,
        overlay: &mut Overlay,
        want: &Want,
    ) -> Option<Choice> {
        let best = match want.prefer.and_then(|node| self.take_node(node)) {
            Some(preferred) => preferred,
            None => self.take_top(want.avoid)?,
        };
        overlay.take(best.node, ask);
        if let Some(node) = state.nodes.get(&best.node)
            && ask.obstacle(node, overlay).is_none()
        {
            self.heap.push(Reverse(choice(node, ask, overlay, best.copies + 1)));
        }
        Some(best)
    }

    fn take_node(&mut self, node: NodeId) -> Option<Choice> {
        let found = self.heap.iter().find(|candidate| candidate.0.node == node).map(|found| found.0)?;
        self.heap.retain(|candidate| candidate.0.node != node);
        Some(found)
    }

    fn take_top(&mut self, avoid: Option<NodeId>) -> Option<Choice> {
        let Reverse(best) = self.heap.pop()?;
        if Some(best.node) != avoid {
            return Some(best);
        }
        let Some(Reverse(second)) = self.heap.pop() else { return Some(best) };
        self.heap.push(Reverse(best));
        Some(second)
    }
}

fn choice(node: &NodeRecord, ask: &Ask, overlay: &Overlay, copies: u32) -> Choice {
    let capacity = node.identity.capacity;
    let used = node.used.plus(overlay.of(node.identity.id).resources).plus(ask.resources);
    let Resources { cpu_millis, memory_bytes } = used;
    let (cpu, memory) =
        (permille(cpu_millis, capacity.cpu_millis), permille(memory_bytes, capacity.memory_bytes));
    // Free room left over, plus what one dimension would strand of the other.
    let waste = (2000 - cpu - memory) + cpu.abs_diff(memory) / 2;
    Choice { copies, waste, node: node.identity.id, cpu_permille: cpu, memory_permille: memory }
}

fn permille(used: u64, capacity: u64) -> u32 {
    let share = (u128::from(used) * 1000).checked_div(u128::from(capacity)).unwrap_or(1000);
    share.min(1000) as u32
}
