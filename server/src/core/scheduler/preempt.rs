//! Work that gives way to work of higher priority, where the cluster is set to allow it.
//!
//! Whatever ends anyway is waited for first: nothing is stopped for whom enough is on its way out. Of the nodes where stopping helps
//! the one is taken that costs least: the lowest priorities, then the fewest. Once the order is given the same look finds the same
//! room on its way, so deciding again stops nothing more. The node is kept for who waits until that has found its place.

use std::collections::BTreeSet;

use proto::ids::{AllocId, NodeId};
use proto::model::{Desired, Resources, StopReason};

use super::Lost;
use super::answers::Answers;
use super::dependencies::is_on;
use super::feasible::{Ask, Obstacle};
use super::reconcile::GroupWork;
use super::room::Room;
use crate::core::state::{Alloc, JobRecord, NodeRecord, PlanStop, Row, State};

/// Work gives way only to what has a priority that is higher by this.
const STEP: u8 = 10;
/// Allocations that make others give way in one decision, per group; the next ones when these are placed.
const MOST: usize = 64;

/// What gives way to work of higher priority in one decision.
pub(super) struct GivenWay {
    pub(super) stops: Vec<PlanStop>,
    /// What this decision tells to end.
    ends: BTreeSet<AllocId>,
}

impl GivenWay {
    /// Nothing yet, beside what the decision tells to end for other reasons.
    pub(super) fn beside(stops: &[PlanStop]) -> Self {
        Self { stops: Vec::new(), ends: stops.iter().map(|stop| stop.alloc).collect() }
    }

    /// Takes in what else the decision tells to end, and returns what of it has not given way already.
    pub(super) fn note(&mut self, stops: Vec<PlanStop>) -> impl Iterator<Item = PlanStop> {
        stops.into_iter().filter(|stop| self.ends.insert(stop.alloc))
    }

    /// Lets others give way to what found no place, and keeps the nodes where they do.
    pub(super) fn make_room(
        &mut self,
        state: &State,
        record: &JobRecord,
        work: &GroupWork,
        lost: &Lost,
        room: &mut Room<'_>,
        answers: &mut Answers,
    ) {
        let Some(mut ask) = Ask::of(state, record, &work.group, answers) else { return };
        lost.placed.iter().for_each(|node| ask.demands.note_taken(state, *node));
        let (coming, offers) = self.look_around(state, &ask, work, &lost.placed, room);
        let mut left = (lost.left as usize).min(MOST);
        for (_, node, takes) in coming {
            // What is coming beyond what is needed is not kept from others.
            if left > 0 && claim(state, &mut ask, node, room) {
                left = left.saturating_sub(takes);
            }
        }
        for offer in offers {
            if left > 0 && claim(state, &mut ask, offer.node, room) {
                left = left.saturating_sub(offer.takes);
                self.ends.extend(&offer.victims);
                let stop = |alloc| PlanStop { alloc, reason: StopReason::Preempted };
                self.stops.extend(offer.victims.into_iter().map(stop));
            }
        }
    }

    /// Returns where room comes anyway and for how many, what is kept for who asks first; and where something may give way, the best
    /// first.
    fn look_around(
        &self,
        state: &State,
        ask: &Ask,
        work: &GroupWork,
        placed: &[NodeId],
        room: &Room<'_>,
    ) -> (Vec<(bool, NodeId, usize)>, Vec<Offer>) {
        let (mut coming, mut offers) = (Vec::new(), Vec::new());
        let wanted = work.place.iter().filter_map(|want| want.only);
        let only: BTreeSet<NodeId> = wanted.filter(|node| !placed.contains(node)).collect();
        let is_any = !ask.spec().kind.is_per_node();
        for (seat, row) in room.fleet.all().filter(|(_, row)| is_any || only.contains(&row.node)) {
            let lacks = ask.obstacle(state, seat, &row, room);
            if !matches!(lacks, Some(Obstacle::Cpu | Obstacle::Memory | Obstacle::Port(_)))
                || room.kept_from(row.node, ask).is_some()
                || room.is_promised_to_another(row.node, ask)
                || !ask.ports_come_free(state, row.node, room, |alloc| self.ends(alloc))
            {
                continue;
            }
            let Some(node) = state.nodes.get(&row.node) else { continue };
            let on_node = OnNode::of(state, node, &row, ask, |alloc| self.ends(alloc));
            match on_node.times(on_node.free_soon) {
                0 => offers.extend(on_node.offer()),
                takes => coming.push((!room.is_kept_for(row.node, ask), row.node, takes)),
            }
        }
        coming.sort_unstable();
        offers.sort_unstable();
        (coming, offers)
    }

    fn ends(&self, alloc: &Alloc) -> bool {
        alloc.desired != Desired::Run || self.ends.contains(&alloc.id)
    }
}

/// Keeps a node for who asks; returns whether it is still one that would take it.
fn claim(state: &State, ask: &mut Ask, node: NodeId, room: &mut Room<'_>) -> bool {
    let seat = room.fleet.seat(node);
    // One place may rule out others.
    let is_open = seat.is_some_and(|seat| ask.demands.against(state, room.fleet.class(seat), node).is_none());
    if is_open {
        ask.demands.note_taken(state, node);
        room.keep(node, ask);
    }
    is_open
}

/// What it costs to make room on a node; less is better.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Offer {
    highest_priority: u8,
    count: usize,
    node: NodeId,
    victims: Vec<AllocId>,
    /// How many fit once these have ended.
    takes: usize,
}

/// What runs on a node, by what becomes of it.
struct OnNode<'s> {
    node: &'s NodeRecord,
    need: Resources,
    /// Free after what this decision has placed, or told to end.
    free_soon: Resources,
    /// Of what must be apart, or runs once per node, or has a port, a node takes one however much room it has.
    takes_one: bool,
    /// May give way, the lowest priority first, then the youngest.
    weaker: Vec<(u8, &'s Alloc)>,
}

impl<'s> OnNode<'s> {
    fn of(
        state: &'s State,
        node: &'s NodeRecord,
        row: &Row,
        ask: &Ask,
        ends: impl Fn(&Alloc) -> bool,
    ) -> Self {
        let need = Resources { cpu_millis: ask.need.cpu_millis, memory_bytes: ask.need.memory_bytes };
        let free_soon = Resources { cpu_millis: row.cpu_millis.free, memory_bytes: row.memory_bytes.free };
        let takes_one =
            ask.demands.is_exclusive() || ask.spec().kind.is_per_node() || !ask.static_ports.is_empty();
        let mut one = Self { node, need, free_soon, takes_one, weaker: Vec::new() };
        let counted = node.allocs.iter().filter_map(|id| state.allocs.get(*id)).filter(|alloc| alloc.counted);
        for alloc in counted {
            let Some(record) = state.jobs.get(alloc.job.as_ref()) else { continue };
            let priority = record.current().job.priority;
            if ends(alloc) {
                one.free_soon = one.free_soon.plus(alloc.resources);
            } else if priority.saturating_add(STEP) <= ask.priority() && !is_on(&ask.job, ask.spec(), alloc) {
                one.weaker.push((priority, alloc));
            }
        }
        one.weaker.sort_unstable_by_key(|(priority, alloc)| (*priority, std::cmp::Reverse(alloc.id)));
        one
    }

    /// Returns how many fit in so much.
    fn times(&self, free: Resources) -> usize {
        let times = |free: u64, asked: u64| free.checked_div(asked).unwrap_or(u64::MAX);
        let cpu = times(free.cpu_millis, self.need.cpu_millis);
        let memory = times(free.memory_bytes, self.need.memory_bytes);
        let all = usize::try_from(cpu.min(memory)).unwrap_or(usize::MAX);
        if self.takes_one { all.min(1) } else { all }
    }

    /// Returns what has to give way here for one, if that is enough.
    fn offer(&self) -> Option<Offer> {
        let mut free = self.free_soon;
        let mut chosen: Vec<(u8, &Alloc)> = Vec::new();
        for (priority, alloc) in &self.weaker {
            if self.need.fits(free) {
                break;
            }
            free = free.plus(alloc.resources);
            chosen.push((*priority, alloc));
        }
        if !self.need.fits(free) {
            return None;
        }
        // What turned out to be of no use stays: the highest priority first.
        for number in (0..chosen.len()).rev() {
            if let Some(without) = free.minus(chosen[number].1.resources).filter(|rest| self.need.fits(*rest))
            {
                free = without;
                chosen.remove(number);
            }
        }
        let highest_priority = chosen.iter().map(|(priority, _)| *priority).max()?;
        let victims: Vec<AllocId> = chosen.iter().map(|(_, alloc)| alloc.id).collect();
        let (count, node, takes) = (victims.len(), self.node.identity.id, self.times(free));
        Some(Offer { highest_priority, count, node, victims, takes })
    }
}
