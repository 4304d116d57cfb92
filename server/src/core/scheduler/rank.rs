//! Which of the nodes that fit is best: fewest of the same group first, then the fullest that stays balanced, then the lowest id.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proto::ids::NodeId;

use super::Want;
use super::feasible::Ask;
use super::room::Room;
use crate::core::state::{JobRecord, Need, Row, Seat, State};

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
    seat: Seat,
}

impl Candidates {
    pub(super) fn collect(state: &State, record: &JobRecord, ask: &Ask, room: &Room<'_>) -> Self {
        let copies = copies(state, record, ask, room);
        let welcome = room.fleet.fitting(ask.need).filter(|(_, row)| ask.is_welcome(row, room));
        let heap: BinaryHeap<_> =
            welcome.map(|(seat, row)| Reverse(choice(seat, &row, ask.need, copies[seat.index()]))).collect();
        Self { feasible: heap.len(), heap }
    }

    /// Returns how many nodes could have taken the first one.
    pub(super) fn feasible(&self) -> usize {
        self.feasible
    }

    /// Takes the best place for one allocation, and its room: the node that it prefers if that fits, the one that it avoids only if
    /// no other does.
    pub(super) fn take_best(&mut self, ask: &Ask, room: &mut Room<'_>, want: &Want) -> Option<Choice> {
        let best = match want.prefer.and_then(|node| self.take_node(node)) {
            Some(preferred) => preferred,
            None => self.take_top(want.avoid)?,
        };
        room.take(best.seat, best.node, ask);
        let row = room.fleet.row(best.seat);
        if row.fits(ask.need) && ask.is_welcome(&row, room) {
            self.heap.push(Reverse(choice(best.seat, &row, ask.need, best.copies + 1)));
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

impl Choice {
    /// Returns how full its node is now, in thousandths of its cpu and memory.
    pub(super) fn use_permille(&self, room: &Room<'_>) -> (u32, u32) {
        let row = room.fleet.row(self.seat);
        (row.cpu_millis.used_permille(0), row.memory_bytes.used_permille(0))
    }
}

/// Returns how many of the group each seat has already.
fn copies(state: &State, record: &JobRecord, ask: &Ask, room: &Room<'_>) -> Vec<u32> {
    let mut copies = vec![0; room.fleet.seats()];
    let live = record.live.iter().filter_map(|id| state.allocs.get(*id));
    for alloc in live.filter(|alloc| !alloc.lost && *alloc.group == *ask.group) {
        if let Some(seat) = room.fleet.seat(alloc.node) {
            copies[seat.index()] += 1;
        }
    }
    copies
}

fn choice(seat: Seat, row: &Row, need: Need, copies: u32) -> Choice {
    let cpu = row.cpu_millis.used_permille(need.cpu_millis);
    let memory = row.memory_bytes.used_permille(need.memory_bytes);
    // Free room left over, plus what one dimension would strand of the other.
    let waste = (2000 - cpu - memory) + cpu.abs_diff(memory) / 2;
    Choice { copies, waste, node: row.node, seat }
}
