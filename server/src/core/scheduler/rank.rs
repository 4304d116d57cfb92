//! Which of the nodes that fit is best: what the job likes and how it is spread, then fewest of the same group, then the fullest that
//! stays balanced, then the lowest id.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proto::ids::NodeId;

use super::Want;
use super::domains::Domains;
use super::feasible::Ask;
use super::room::Room;
use super::spread::{Spreads, Values};
use crate::core::state::{Alloc, Seat, State};

/// Nodes that fit. Those with the same values of what is spread over form a domain: within it the order stays, whatever is placed.
pub(super) struct Candidates<'s> {
    state: &'s State,
    domains: Vec<Domain>,
    spreads: Spreads,
    /// How many of the group each seat had before, where any has.
    copies: Vec<u32>,
    feasible: usize,
}

struct Domain {
    values: Values,
    heap: BinaryHeap<Reverse<Choice>>,
}

/// A node that fits. The order is the rank: the least is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Choice {
    /// How little the job likes it, without what its domain costs.
    dislike: i64,
    pub(super) copies: u32,
    waste: u32,
    pub(super) node: NodeId,
    seat: Seat,
}

/// An affinity's weight in the unit of what a spread costs.
const WEIGHT: i64 = 1000;

impl<'s> Candidates<'s> {
    /// Collects what may be taken for `wants` allocations. `others` are the allocations of the group that fill their slots.
    pub(super) fn collect<'a>(
        state: &'s State,
        ask: &Ask,
        room: &Room<'_>,
        others: impl Iterator<Item = &'a Alloc> + Clone,
        wants: usize,
    ) -> Self {
        let mut spreads = ask.spreads(state, others.clone());
        let copies = copies(others, room);
        // Each allocation takes one, and one may have to be passed over: what is worse than so many others is never looked at, unless
        // a placement can rule others out.
        let most = if ask.demands.is_exclusive() { usize::MAX } else { wants + 1 };
        let (kinds, is_alone) = (ask.kinds(state), spreads.is_nothing());
        let mut domains = Domains::new(most, &spreads);
        let mut welcome = 0;
        let (simple, is_liked) = (kinds.is_none(), ask.demands.has_likings());
        let fitting = room.fleet.each_fitting(ask.need, waste, |fit| {
            if kinds.as_ref().is_some_and(|kinds| !kinds.welcome(ask, state, &fit, room)) {
                return None;
            }
            welcome += 1;
            let dislike = if is_liked { -WEIGHT * ask.demands.liking(state, fit.class, fit.node) } else { 0 };
            let copies = copies.get(fit.seat.index()).copied().unwrap_or(0);
            let choice = Choice { dislike, copies, waste: fit.score, node: fit.node, seat: fit.seat };
            let best = domains.of(&spreads, state, &fit);
            best.push(choice);
            // Any node may be the better one where more than its room counts, and those that fit must be counted one by one.
            let rival = best.worst().filter(|worst| simple && !is_liked && is_alone && worst.copies == 0)?;
            Some((rival.waste, rival.node))
        });
        let domains = domains.into_each();
        domains.iter().for_each(|(values, _)| spreads.offer(values));
        let domains =
            domains.into_iter().map(|(values, best)| Domain { values, heap: best.into_heap() }).collect();
        let feasible = if simple { fitting } else { welcome };
        Self { state, domains, spreads, copies, feasible }
    }

    /// Returns how many nodes could have taken the first one.
    pub(super) fn feasible(&self) -> usize {
        self.feasible
    }

    /// Takes the best place for one allocation, and its room: the node that it prefers if that fits, the one that it avoids only if
    /// no other does.
    pub(super) fn take_best(&mut self, ask: &mut Ask, room: &mut Room<'_>, want: &Want) -> Option<Choice> {
        let preferred = want.prefer.and_then(|node| self.take_node(ask, room, node));
        let (domain, best) = match preferred {
            Some(preferred) => preferred,
            None => self.take_top(ask, room, want.avoid)?,
        };
        room.take(best.seat, best.node, ask);
        ask.demands.note_taken(self.state, best.node);
        let values = self.domains[domain].values.clone();
        self.spreads.take(&values);
        if ask.fits(self.state, best.seat, room) {
            let waste = room.fleet.score(best.seat, ask.need, waste);
            self.domains[domain].heap.push(Reverse(Choice { copies: best.copies + 1, waste, ..best }));
        }
        Some(best)
    }

    /// Takes a certain node, whether it is among the best or not.
    fn take_node(&mut self, ask: &Ask, room: &Room<'_>, node: NodeId) -> Option<(usize, Choice)> {
        let seat = room.fleet.seat(node)?;
        if !ask.fits(self.state, seat, room) {
            return None;
        }
        let class = room.fleet.class(seat);
        for (number, domain) in self.domains.iter_mut().enumerate() {
            if let Some(found) = domain.heap.iter().find(|choice| choice.0.node == node).map(|found| found.0)
            {
                domain.heap.retain(|choice| choice.0.node != node);
                return Some((number, found));
            }
        }
        let values = self.spreads.values(self.state, class, node);
        let number = self.domains.iter().position(|domain| domain.values == values)?;
        let dislike = -WEIGHT * ask.demands.liking(self.state, class, node);
        let copies = self.copies.get(seat.index()).copied().unwrap_or(0);
        let waste = room.fleet.score(seat, ask.need, waste);
        Some((number, Choice { dislike, copies, waste, node, seat }))
    }

    /// Takes the best of all domains but that node, or that node where there is no other.
    fn take_top(&mut self, ask: &Ask, room: &Room<'_>, avoid: Option<NodeId>) -> Option<(usize, Choice)> {
        let mut aside = None;
        for number in 0..self.domains.len() {
            self.drop_unwelcome(ask, room, number);
            let heap = &mut self.domains[number].heap;
            if heap.peek().is_some_and(|top| Some(top.0.node) == avoid)
                && let Some(Reverse(avoided)) = heap.pop()
            {
                aside = Some((number, avoided));
                self.drop_unwelcome(ask, room, number);
            }
        }
        let rank = |(number, domain): (usize, &Domain)| {
            let Reverse(top) = domain.heap.peek()?;
            let dislike = top.dislike.saturating_add(self.spreads.cost(&domain.values));
            Some((Choice { dislike, ..*top }, number))
        };
        let best = self.domains.iter().enumerate().filter_map(rank).min().map(|(_, number)| number);
        let Some(best) = best else { return aside };
        let taken = self.domains[best].heap.pop().map(|Reverse(choice)| (best, choice));
        if let Some((number, avoided)) = aside {
            self.domains[number].heap.push(Reverse(avoided));
        }
        taken
    }

    /// Lets go of what was ruled out by what was placed since.
    fn drop_unwelcome(&mut self, ask: &Ask, room: &Room<'_>, number: usize) {
        if !ask.demands.is_exclusive() {
            return;
        }
        while let Some(Reverse(top)) = self.domains[number].heap.peek().copied() {
            if ask.is_welcome(self.state, room.fleet.class(top.seat), top.node, room) {
                return;
            }
            self.domains[number].heap.pop();
        }
    }
}

impl Choice {
    /// The only node there is to choose.
    pub(super) const fn only(node: NodeId, seat: Seat) -> Self {
        Self { dislike: 0, copies: 0, waste: 0, node, seat }
    }

    /// Returns how full its node is now, in thousandths of its cpu and memory.
    pub(super) fn use_permille(&self, room: &Room<'_>) -> (u32, u32) {
        let row = room.fleet.row(self.seat);
        (row.cpu_millis.used_permille(0), row.memory_bytes.used_permille(0))
    }
}

/// Returns how many of the group each seat has already; empty where there are none.
fn copies<'a>(others: impl Iterator<Item = &'a Alloc>, room: &Room<'_>) -> Vec<u32> {
    let mut copies = Vec::new();
    for alloc in others {
        if let Some(seat) = room.fleet.seat(alloc.node) {
            copies.resize(room.fleet.seats(), 0);
            copies[seat.index()] += 1;
        }
    }
    copies
}

/// What is left free, plus what one dimension would strand of the other, in thousandths of a node.
fn waste(cpu: f32, memory: f32) -> u32 {
    let (less, more) = (cpu.min(memory).min(1.0), cpu.max(memory).min(1.0));
    // The same as 2 - cpu - memory + |cpu - memory| / 2, in steps that keep the order of floats.
    ((2.0 - 1.5 * less - 0.5 * more) * 1000.0) as u32
}
