//! Which of the nodes that fit is best: fewest of the same group first, then the fullest that stays balanced, then the lowest id.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proto::ids::NodeId;

use super::Want;
use super::best::Best;
use super::feasible::Ask;
use super::room::Room;
use crate::core::state::{JobRecord, Seat, State};

/// Nodes that fit, the best on top.
pub(super) struct Candidates {
    heap: BinaryHeap<Reverse<Choice>>,
    /// How many of the group each seat had before, where any has.
    copies: Vec<u32>,
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
    /// Collects what may be taken for `wants` allocations.
    pub(super) fn collect(
        state: &State,
        record: &JobRecord,
        ask: &Ask,
        room: &Room<'_>,
        wants: usize,
    ) -> Self {
        let copies = copies(state, record, ask, room);
        // Each allocation takes one, and one may have to be passed over: what is worse than so many others is never looked at.
        let mut best = Best::new(wants + 1);
        let mut feasible = 0;
        let simple = ask.asks_for_room_only();
        room.fleet.each_fitting(ask.need, waste, |seat, node, waste| {
            if simple || ask.is_welcome(node, room) {
                feasible += 1;
                let copies = copies.get(seat.index()).copied().unwrap_or(0);
                best.push(Choice { copies, waste, node, seat });
            }
        });
        Self { feasible, heap: best.into_heap(), copies }
    }

    /// Returns how many nodes could have taken the first one.
    pub(super) fn feasible(&self) -> usize {
        self.feasible
    }

    /// Takes the best place for one allocation, and its room: the node that it prefers if that fits, the one that it avoids only if
    /// no other does.
    pub(super) fn take_best(&mut self, ask: &Ask, room: &mut Room<'_>, want: &Want) -> Option<Choice> {
        let best = match want.prefer.and_then(|node| self.take_node(ask, room, node)) {
            Some(preferred) => preferred,
            None => self.take_top(want.avoid)?,
        };
        room.take(best.seat, best.node, ask);
        if fits(ask, room, best.seat, best.node) {
            let waste = room.fleet.score(best.seat, ask.need, waste);
            self.heap.push(Reverse(Choice { copies: best.copies + 1, waste, ..best }));
        }
        Some(best)
    }

    /// Takes a certain node, whether it is among the best or not.
    fn take_node(&mut self, ask: &Ask, room: &Room<'_>, node: NodeId) -> Option<Choice> {
        let seat = room.fleet.seat(node).filter(|seat| fits(ask, room, *seat, node))?;
        let found = self.heap.iter().find(|candidate| candidate.0.node == node).map(|found| found.0);
        self.heap.retain(|candidate| candidate.0.node != node);
        let copies = || self.copies.get(seat.index()).copied().unwrap_or(0);
        Some(found.unwrap_or_else(|| Choice {
            copies: copies(),
            waste: room.fleet.score(seat, ask.need, waste),
            node,
            seat,
        }))
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

fn fits(ask: &Ask, room: &Room<'_>, seat: Seat, node: NodeId) -> bool {
    room.fleet.row(seat).fits(ask.need) && ask.is_welcome(node, room)
}

impl Choice {
    /// Returns how full its node is now, in thousandths of its cpu and memory.
    pub(super) fn use_permille(&self, room: &Room<'_>) -> (u32, u32) {
        let row = room.fleet.row(self.seat);
        (row.cpu_millis.used_permille(0), row.memory_bytes.used_permille(0))
    }
}

/// Returns how many of the group each seat has already; empty where there are none.
fn copies(state: &State, record: &JobRecord, ask: &Ask, room: &Room<'_>) -> Vec<u32> {
    let mut copies = Vec::new();
    let live = record.live.iter().filter_map(|id| state.allocs.get(*id));
    for alloc in live.filter(|alloc| !alloc.lost && *alloc.group == *ask.group) {
        if let Some(seat) = room.fleet.seat(alloc.node) {
            copies.resize(room.fleet.seats(), 0);
            copies[seat.index()] += 1;
        }
    }
    copies
}

/// What is left free, plus what one dimension would strand of the other, in thousandths of a node.
fn waste(cpu: f32, memory: f32) -> u32 {
    let (cpu, memory) = (cpu.min(1.0), memory.min(1.0));
    ((2.0 - cpu - memory + (cpu - memory).abs() / 2.0) * 1000.0) as u32
}
