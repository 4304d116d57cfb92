//! Work that gives way to work of higher priority, where the cluster is set to allow it.
//!
//! Whatever ends anyway is waited for first: nothing is stopped for whom enough is on its way out. Of the nodes where stopping helps
//! the one is taken that costs least: the lowest priorities, then the fewest. Once the order is given the same look finds the same
//! room on its way, so deciding again stops nothing more. The node is kept for who waits until that has found its place.

use std::collections::BTreeSet;

use proto::ids::{AllocId, NodeId};
use proto::model::{Desired, Resources, StopReason};

use super::answers::Answers;
use super::feasible::{Ask, Obstacle};
use super::reconcile::GroupWork;
use super::room::Room;
use crate::core::state::{Alloc, JobRecord, NodeRecord, PlanStop, State};

/// Work gives way only to what has a priority that is higher by this.
const STEP: u8 = 10;
/// Allocations that make others give way in one decision, per group; the next ones when these are placed.
const MOST: usize = 64;

/// What gives way, and where.
#[derive(Debug, Default)]
struct Preemption {
    stops: Vec<PlanStop>,
    /// Nodes whose room comes free for who waits.
    nodes: BTreeSet<NodeId>,
}

/// What gives way to work of higher priority in one decision.
#[derive(Default)]
pub(super) struct GivenWay<'s> {
    pub(super) stops: Vec<PlanStop>,
    spoken_for: BTreeSet<NodeId>,
    pub(super) nodes: Vec<(NodeId, &'s JobRecord)>,
}

impl<'s> GivenWay<'s> {
    /// Lets others give way to what found no place.
    pub(super) fn make_room(
        &mut self,
        state: &'s State,
        record: &'s JobRecord,
        work: &GroupWork,
        left: u32,
        room: &Room<'_>,
        answers: &mut Answers,
    ) {
        let Some(ask) = Ask::of(state, record, &work.group, answers) else { return };
        let found = preempt(state, &ask, work, left, room, &self.spoken_for);
        self.spoken_for.extend(&found.nodes);
        self.stops.extend(found.stops);
        self.nodes.extend(found.nodes.into_iter().map(|node| (node, record)));
    }
}

/// What it costs to make room on a node; less is better.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Offer {
    highest_priority: u8,
    count: usize,
    node: NodeId,
    victims: Vec<AllocId>,
}

/// Chooses what gives way to `left` allocations that have found no place. Nodes where something gives way to others already are
/// `spoken_for`.
fn preempt(
    state: &State,
    ask: &Ask,
    work: &GroupWork,
    left: u32,
    room: &Room<'_>,
    spoken_for: &BTreeSet<NodeId>,
) -> Preemption {
    let mut found = Preemption::default();
    let mut left = (left as usize).min(MOST);
    let mut offers = Vec::new();
    // Of what must be apart, or runs once per node, a node takes one however much room it has.
    let one_each = ask.demands.is_exclusive() || ask.spec().kind.is_per_node();
    let only: BTreeSet<NodeId> = work.place.iter().filter_map(|want| want.only).collect();
    for (seat, row) in room.fleet.all().filter(|(_, row)| only.is_empty() || only.contains(&row.node)) {
        let is_others = spoken_for.contains(&row.node) || room.kept_from(row.node, ask).is_some();
        let lacks = ask.obstacle(state, seat, &row, room);
        if is_others || !matches!(lacks, Some(Obstacle::Cpu | Obstacle::Memory)) {
            continue;
        }
        let Some(node) = state.nodes.get(&row.node) else { continue };
        let on_node = OnNode::of(state, node, ask);
        let coming = on_node.coming();
        if coming > 0 {
            // What is coming beyond what is needed is not kept from others.
            if left > 0 {
                found.nodes.insert(row.node);
            }
            left = left.saturating_sub(if one_each { coming.min(1) } else { coming });
        } else if let Some(offer) = on_node.offer() {
            offers.push(offer);
        }
    }
    offers.sort_unstable();
    for offer in offers.into_iter().take(left) {
        let stop = |alloc| PlanStop { alloc, reason: StopReason::Preempted };
        found.stops.extend(offer.victims.into_iter().map(stop));
        found.nodes.insert(offer.node);
    }
    found
}

/// What runs on a node, by what becomes of it.
struct OnNode<'s> {
    node: &'s NodeRecord,
    need: Resources,
    /// Free, or told to end already.
    free_soon: Resources,
    /// May give way, the lowest priority first, then the youngest.
    weaker: Vec<(u8, &'s Alloc)>,
}

impl<'s> OnNode<'s> {
    fn of(state: &'s State, node: &'s NodeRecord, ask: &Ask) -> Self {
        let need = Resources { cpu_millis: ask.need.cpu_millis, memory_bytes: ask.need.memory_bytes };
        let mut one = Self { node, need, free_soon: node.free(), weaker: Vec::new() };
        let counted = node.allocs.iter().filter_map(|id| state.allocs.get(*id)).filter(|alloc| alloc.counted);
        for alloc in counted {
            let Some(record) = state.jobs.get(alloc.job.as_ref()) else { continue };
            let priority = record.current().job.priority;
            if alloc.desired != Desired::Run {
                one.free_soon = one.free_soon.plus(alloc.resources);
            } else if priority.saturating_add(STEP) <= ask.priority() {
                one.weaker.push((priority, alloc));
            }
        }
        one.weaker.sort_unstable_by_key(|(priority, alloc)| (*priority, std::cmp::Reverse(alloc.id)));
        one
    }

    /// Returns how many will fit once what is told to end has ended.
    fn coming(&self) -> usize {
        let times = |free: u64, asked: u64| free.checked_div(asked).unwrap_or(u64::MAX);
        let cpu = times(self.free_soon.cpu_millis, self.need.cpu_millis);
        let memory = times(self.free_soon.memory_bytes, self.need.memory_bytes);
        usize::try_from(cpu.min(memory)).unwrap_or(usize::MAX)
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
        Some(Offer { highest_priority, count: victims.len(), node: self.node.identity.id, victims })
    }
}
