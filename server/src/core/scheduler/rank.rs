//! Which of the nodes that fit is best: what the job likes and how it is spread, then fewest of the same group in the failure domain,
//! then on the node, then the fullest that stays balanced, then the lowest id.

use std::cmp::{Ordering, Reverse};

use proto::ids::NodeId;

use super::decision::Scored;
use super::domain::{Domain, Domains};
use super::feasible::Ask;
use super::reconcile::Want;
use super::room::Room;
use super::spread::Spreads;
use super::waste::Waste;
use crate::core::state::{Alloc, Edge, RunnerUp, Seat, State};

/// Nodes that fit, by domains.
pub(super) struct Candidates<'s> {
    state: &'s State,
    domains: Vec<Domain>,
    spreads: Spreads,
    /// How many of the group each seat had before, where any has.
    copies: Vec<u32>,
    waste: Waste,
    feasible: usize,
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

/// A node beside its competitors. The order is the rank, over all domains: what one is liked less and another is spread worse counts
/// alike, so that of the cost only the sum is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ranked {
    /// How little the job likes it, what its domain costs included.
    cost: i64,
    /// How many of the group are in its failure domain; on the node where it names none.
    shared: u32,
    choice: Choice,
}

/// What was taken, and what would have been next.
pub(super) struct Taken {
    pub(super) choice: Choice,
    pub(super) runner_up: Option<RunnerUp>,
}

/// Candidates of which scores are told.
const SCORES_TOLD: usize = 3;

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
        // One more is the runner-up of the last.
        let most = if ask.demands.is_exclusive() { usize::MAX } else { wants + 2 };
        let (kinds, is_alone) = (ask.kinds(state, room), spreads.is_nothing());
        let mut domains = Domains::new(&spreads, most);
        let waste =
            Waste::of(kinds.as_ref().map_or_else(|| room.fleet.load(), |kinds| kinds.load(&room.fleet)));
        let mut welcome = 0;
        let (simple, is_liked) = (kinds.is_none(), ask.demands.has_likings());
        let fitting = room.fleet.each_fitting(ask.need, &waste, |fit| {
            if kinds.as_ref().is_some_and(|kinds| !kinds.welcome(ask, state, &fit, room)) {
                return None;
            }
            welcome += 1;
            let dislike = if is_liked { -WEIGHT * ask.demands.liking(state, fit.class, fit.node) } else { 0 };
            let copies = copies.get(fit.seat.index()).copied().unwrap_or(0);
            let choice = Choice { dislike, copies, waste: fit.score, node: fit.node, seat: fit.seat };
            let best = domains.of(state, fit.class, fit.node);
            best.push(choice);
            // Any node may be the better one where more than its room counts, and those that fit must be counted one by one.
            let rival = best.worst().filter(|worst| simple && !is_liked && is_alone && worst.copies == 0)?;
            Some((rival.waste, rival.node))
        });
        let domains: Vec<Domain> = domains.into_heaps().collect();
        domains.iter().for_each(|domain| spreads.offer(&domain.values));
        let feasible = if simple { fitting } else { welcome };
        Self { state, domains, spreads, copies, waste, feasible }
    }

    /// Returns how many nodes could have taken the first one.
    pub(super) fn feasible(&self) -> usize {
        self.feasible
    }

    /// Takes the best place for one allocation, and its room: the node that it prefers if that fits, the one that it avoids only if
    /// no other does.
    pub(super) fn take_best(&mut self, ask: &mut Ask, room: &mut Room<'_>, want: &Want) -> Option<Taken> {
        let preferred = want.prefer.and_then(|node| self.take_node(ask, room, node));
        let (domain, best, runner_up) = match preferred {
            Some((domain, preferred)) => (domain, preferred, None),
            None => self.take_top(ask, room, want.avoid)?,
        };
        room.take(best.seat, best.node, ask);
        ask.demands.note_taken(self.state, best.node);
        let values = self.domains[domain].values.clone();
        self.spreads.take(&values);
        if ask.fits(self.state, best.seat, room) {
            let waste = room.fleet.score(best.seat, ask.need, &self.waste);
            self.domains[domain].heap.push(Reverse(Choice { copies: best.copies + 1, waste, ..best }));
        }
        Some(Taken { choice: best, runner_up })
    }

    /// Returns the best few for the next allocation with their scores, the best first. Cost: one look at every candidate.
    pub(super) fn scores(&self, ask: &Ask, room: &Room<'_>, want: &Want) -> Vec<Scored> {
        let welcome = |choice: &Choice| {
            Some(choice.node) != want.avoid
                && (!ask.demands.is_exclusive()
                    || ask.is_welcome(self.state, room.fleet.class(choice.seat), choice.node, room))
        };
        let of_domain = |domain: &Domain| {
            let standing = self.standing(domain);
            let fit = domain.heap.iter().map(|Reverse(choice)| *choice).filter(welcome);
            fit.map(|choice| standing.rank(choice)).collect::<Vec<_>>()
        };
        let mut all: Vec<Ranked> = self.domains.iter().flat_map(of_domain).collect();
        all.sort_unstable_by_key(|one| (Some(one.choice.node) != want.prefer, *one));
        all.truncate(SCORES_TOLD);
        let best = all.first().copied();
        let beside = |one: &Ranked| best.filter(|best| best != one);
        all.iter().map(|one| one.scored(beside(one).as_ref(), ask, room)).collect()
    }

    fn standing(&self, domain: &Domain) -> Standing {
        let (cost, shared) = (self.spreads.cost(&domain.values), self.spreads.in_domain(&domain.values));
        Standing { cost, shared }
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
        let waste = room.fleet.score(seat, ask.need, &self.waste);
        Some((number, Choice { dislike, copies, waste, node, seat }))
    }

    /// Takes the best of all domains but that node, or that node where there is no other.
    fn take_top(
        &mut self,
        ask: &Ask,
        room: &Room<'_>,
        avoid: Option<NodeId>,
    ) -> Option<(usize, Choice, Option<RunnerUp>)> {
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
        let (mut best, mut next): (Option<(Ranked, usize, Standing)>, Option<Ranked>) = (None, None);
        for (number, domain) in self.domains.iter().enumerate() {
            let Some(Reverse(top)) = domain.heap.peek() else { continue };
            let standing = self.standing(domain);
            let ranked = standing.rank(*top);
            if best.as_ref().is_none_or(|(best, _, _)| ranked < *best) {
                next = best.replace((ranked, number, standing)).map(|(before, _, _)| before);
            } else if next.is_none_or(|next| ranked < next) {
                next = Some(ranked);
            }
        }
        let Some((ranked, best, standing)) = best else {
            return aside.map(|(number, avoided)| (number, avoided, None));
        };
        self.domains[best].heap.pop();
        let beside = self.domains[best].heap.peek().map(|Reverse(choice)| standing.rank(*choice));
        // Of what must differ the next one may have been ruled out meanwhile: only tops are looked at again.
        let known = next.into_iter().chain(beside).min().filter(|_| !ask.demands.is_exclusive());
        let runner_up = known.map(|next| RunnerUp { node: next.choice.node, edge: ranked.edge_over(&next) });
        if let Some((number, avoided)) = aside {
            self.domains[number].heap.push(Reverse(avoided));
        }
        Some((best, ranked.choice, runner_up))
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

/// What all nodes of a domain have in common.
#[derive(Clone, Copy)]
struct Standing {
    cost: i64,
    shared: Option<u32>,
}

impl Standing {
    fn rank(self, choice: Choice) -> Ranked {
        let cost = choice.dislike.saturating_add(self.cost);
        Ranked { cost, shared: self.shared.unwrap_or(choice.copies), choice }
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let Choice { copies, waste, node, .. } = self.choice;
        let others = &other.choice;
        let rank = (self.cost, self.shared, copies, waste, node);
        rank.cmp(&(other.cost, other.shared, others.copies, others.waste, others.node))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ranked {
    /// Returns in what this one is better than another.
    fn edge_over(&self, other: &Self) -> Edge {
        let (own, others) = (&self.choice, &other.choice);
        // Without a domain its count is that of the node.
        let of_nodes = self.shared == own.copies && other.shared == others.copies;
        match () {
            () if self.cost != other.cost && own.dislike < others.dislike => Edge::Liking,
            () if self.cost != other.cost => Edge::Spread,
            () if self.shared != other.shared && of_nodes => Edge::Copies,
            () if self.shared != other.shared => Edge::Domain,
            () if own.copies != others.copies => Edge::Copies,
            () if own.waste != others.waste => Edge::Fit,
            () => Edge::Id,
        }
    }

    /// Returns it as it is told: `before` is the best one, unless this is.
    fn scored(&self, before: Option<&Self>, ask: &Ask, room: &Room<'_>) -> Scored {
        let row = room.fleet.row(self.choice.seat);
        Scored {
            node: self.choice.node,
            liking: -self.choice.dislike / WEIGHT,
            spread_cost: self.cost.saturating_sub(self.choice.dislike),
            in_domain: self.shared,
            copies: self.choice.copies,
            cpu_permille: row.cpu_millis.used_permille(ask.need.cpu_millis),
            memory_permille: row.memory_bytes.used_permille(ask.need.memory_bytes),
            behind: before.map(|best| best.edge_over(self)),
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
