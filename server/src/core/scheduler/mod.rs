//! What to place, where, and what to stop: dirty jobs in, one plan out. Deciding again on the same facts proposes nothing.

mod advice;
mod answers;
mod best;
mod decision;
mod demands;
mod dependencies;
mod domain;
mod everywhere;
mod explain;
mod feasible;
mod forecast;
mod kept;
mod loss;
mod memory;
mod outlook;
mod per_node;
mod place;
mod precedence;
mod preempt;
mod rank;
mod reconcile;
mod room;
mod runs;
mod spread;
mod waste;

pub use advice::{Shortage, advice};
pub use decision::{Decision, Placed, Scored};
pub use dependencies::{is_held, with_progress};
pub use everywhere::{Wanted, wanted};
pub use forecast::{Forecast, GroupForecast, forecast};
pub use loss::{GroupLoss, Loss, loss};
pub use memory::Memory;
pub use outlook::{Outlook, outlook};
pub use precedence::Precedence;

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::ids::{JobKey, NodeId};
use proto::model::StopReason;
use proto::time::Timestamp;

use super::state::{JobRecord, PlanItem, PlanStop, PlanWait, State};
use answers::Answers;
use feasible::Ask;
use place::{Outcome, find_places};
use preempt::GivenWay;
use reconcile::{GroupWork, go_on, reconcile};
use room::Room;
use runs::runs_of;

/// Decides on the given jobs, in the given order, and remembers nothing; see [`schedule_with`].
#[must_use]
pub fn schedule(state: &State, jobs: &[JobKey], now: Timestamp) -> Decision {
    schedule_with(state, jobs, now, &mut Memory::default())
}

/// Decides on the given jobs, in the given order, beside what is remembered: for whom room is kept.
///
/// The plan's reign and number are left to the caller. Jobs that are gone are passed over. Same input, same decision. Cost: for
/// each group that needs a place, one look at every node.
#[must_use]
pub fn schedule_with(state: &State, jobs: &[JobKey], now: Timestamp, memory: &mut Memory) -> Decision {
    schedule_scored(state, jobs, now, memory, 0)
}

/// Decides the same, and tells of the first so many placements of each group the best three nodes with their scores: one more look at
/// every node that fits for each of them.
#[must_use]
pub fn schedule_scored(
    state: &State,
    jobs: &[JobKey],
    now: Timestamp,
    memory: &mut Memory,
    scores: usize,
) -> Decision {
    let mut decision = Decision::default();
    let Memory { answers, kept, fences } = &mut *memory;
    let mut works: Vec<(&Arc<JobRecord>, GroupWork)> = Vec::new();
    for record in jobs.iter().filter_map(|key| state.jobs.get(key)) {
        works.extend(reconcile(state, record, now, fences, answers).into_iter().map(|work| (record, work)));
    }
    // Whatever ends, ends for everybody: also what is looked at later than who needs its room.
    decision.plan.stops.extend(works.iter().flat_map(|(_, work)| &work.stop));
    let mut given_way = GivenWay::beside(&decision.plan.stops);
    kept.refresh(state);
    let mut room = Room::keeping(state, kept);
    for (record, work) in works {
        decision.plan.updates.extend(&work.update);
        if let Some(due) = work.wake_at {
            let at = decision.wake_at.entry(record.key.as_ref().clone()).or_insert(due);
            *at = due.min(*at);
        }
        let lost = place_group(state, record, &work, &mut room, answers, scores, &mut decision);
        if lost.left > 0 && state.settings.preemption {
            given_way.make_room(state, record, &work, &lost, &mut room, answers);
        }
        if work.goes_on_later {
            let stops = go_on(state, record, &work.group, lost.left as usize, answers);
            decision.plan.stops.extend(given_way.note(stops));
        }
    }
    let keeps = room.into_kept();
    decision.keeps_room = !keeps.is_nothing();
    memory.kept = keeps;
    decision.plan.stops.extend(given_way.stops);
    decision
}

/// Returns whether something of a job that waits may fit on one of the nodes that gained room.
#[must_use]
pub fn may_fit(
    state: &State,
    key: &JobKey,
    gained: &BTreeSet<NodeId>,
    now: Timestamp,
    memory: &mut Memory,
) -> bool {
    let Some(record) = state.jobs.get(key) else { return false };
    let Memory { answers, kept, fences } = memory;
    let room = Room::keeping(state, kept);
    let works = reconcile(state, record, now, fences, answers);
    works.iter().filter(|work| !work.place.is_empty()).any(|work| {
        let Some(ask) = Ask::of(state, record, &work.group, answers) else { return false };
        if ask.spec().kind.is_per_node() {
            return per_node::may_fit(state, &ask, &room, &work.place, gained);
        }
        let mut seats = gained.iter().filter_map(|id| room.fleet.seat(*id));
        seats.any(|seat| ask.fits(state, seat, &room))
    })
}

/// What became of the wants of a group that found no place.
struct Lost {
    /// How many.
    left: u32,
    /// Where the others went.
    placed: Vec<NodeId>,
}

/// Finds places for what a group lacks; what finds none is said in a wait.
fn place_group(
    state: &State,
    record: &JobRecord,
    work: &GroupWork,
    room: &mut Room<'_>,
    answers: &mut Answers,
    scores: usize,
    decision: &mut Decision,
) -> Lost {
    if !record.current().job.groups.contains_key(&work.group) {
        return Lost { left: 0, placed: Vec::new() };
    }
    let key = record.key.as_ref();
    let Outcome { placed, mut told, left, why: no_room } =
        find_places(state, record, work, room, answers, scores);
    // What has a fence ends before its slot begins anew: where it moves, finding a place is the reason to end it.
    let (leaves, placed): (Vec<_>, Vec<_>) =
        placed.into_iter().partition(|(_, index, _)| work.leave_first.contains_key(index));
    told.truncate(placed.len());
    let leaves = leaves.iter().filter_map(|(_, index, _)| work.leave_first.get(index));
    let leaves = leaves.map(|old| PlanStop { alloc: *old, reason: StopReason::Drained });
    decision.plan.stops.extend(leaves);
    let no_room = match left as usize <= work.moves && left > 0 {
        true => format!("its node is drained, and no other can take it: {no_room}"),
        false => no_room,
    };
    let why = [work.waits_for.as_str(), &work.fenced, &work.braked, &no_room]
        .into_iter()
        .filter(|why| !why.is_empty());
    let why = why.collect::<Vec<_>>().join("; ");
    decision.placed.extend(told);
    let lost = Lost { left, placed: placed.iter().map(|(node, ..)| *node).collect() };
    if !placed.is_empty() {
        let runs = runs_of(state, placed);
        let version = record.current().version;
        decision.plan.items.push(PlanItem { job: key.clone(), version, group: work.group.clone(), runs });
    }
    if left > 0 {
        decision.waiting.insert(key.clone());
    }
    // What is held back by other work is looked at again when that changes, not when a node gains room.
    let left = left + work.held;
    let before = record.group(&work.group).and_then(|group| group.wait.as_ref());
    let unchanged = before.map_or(("", 0), |wait| (wait.why.as_str(), wait.count)) == (why.as_str(), left);
    if !unchanged && !record.stopped {
        let version = record.current().version;
        let group = work.group.clone();
        decision.plan.waits.push(PlanWait { job: key.clone(), version, group, count: left, why });
    }
    lost
}

#[cfg(test)]
mod tests;
