//! What leaves nodes that are drained: of a slot that moves there are two, the older of which leaves when the younger is well.

use std::collections::BTreeSet;

use proto::ids::AllocId;
use proto::model::{Desired, Group, StopReason};
use server::core::state::{Alloc, Drain, JobRecord, State};

use super::lack::{Has, Lack, Want};

/// The drain of the node of an allocation, while it is under way.
pub fn drain_of<'s>(state: &'s State, alloc: &Alloc) -> Option<&'s Drain> {
    state.nodes.get(&alloc.node)?.drain.as_ref().filter(|drain| drain.complete.is_none())
}

/// Takes the older ones of slots that have two out of what fills slots.
pub fn take_leaving<'s>(has: &mut Has<'s>) -> Vec<&'s Alloc> {
    let all: Vec<&Alloc> = has.active.iter().chain(&has.stopping).copied().collect();
    let has_younger = |one: &&Alloc| all.iter().any(|other| other.index == one.index && other.id > one.id);
    let leaving: Vec<&'s Alloc> = all.iter().copied().filter(has_younger).collect();
    let stays = |one: &&Alloc| leaving.iter().all(|other| other.id != one.id);
    has.active.retain(stays);
    has.stopping.retain(stays);
    leaving
}

/// Looks at every slot that moves: the older ends when the younger has been well for long enough, the younger when it was not in time or
/// is not needed any more.
pub fn end(state: &State, spec: &Group, leaving: &[&Alloc], has: &mut Has<'_>, lack: &mut Lack) {
    for old in leaving.iter().filter(|old| old.desired == Desired::Run) {
        let mut fillers = has.active.iter().chain(&has.stopping);
        let new = *fillers.find(|new| new.index == old.index).unwrap();
        let is_unwanted = match new.desired {
            // Told so by this decision.
            Desired::Run => lack.stops.contains(&new.id),
            Desired::Stop(StopReason::ScaledDown) => true,
            // The old one has its slot again when this one has ended.
            Desired::Stop(_) => continue,
        };
        let since = new.running_since.filter(|_| new.healthy);
        let is_well = since.is_some_and(|at| at.plus(spec.migrate.min_healthy_time) <= state.now);
        let is_late = new.created_at.plus(spec.migrate.healthy_deadline) <= state.now;
        if is_unwanted || is_well {
            lack.stops.insert(old.id);
        } else if since.is_none() && (is_late || drain_of(state, old).is_none()) {
            has.stop(new.id, lack);
        }
    }
}

/// Begins moves, as many as the group's pace leaves, of what does the present work: the oldest drain first. What ends of itself may.
pub fn begin(
    state: &State,
    record: &JobRecord,
    group: &str,
    leaving: &[&Alloc],
    has: &Has<'_>,
    lack: &mut Lack,
) {
    let spec = &record.current().job.groups[group];
    let work = record.current().work[group];
    let moving: BTreeSet<u32> = leaving.iter().map(|alloc| alloc.index).collect();
    let mut here: Vec<_> = has
        .active
        .iter()
        .filter(|alloc| alloc.work == work && !moving.contains(&alloc.index))
        .filter_map(|alloc| Some((drain_of(state, alloc)?.begun, alloc.node, alloc.id, alloc.index)))
        .collect::<Vec<(_, _, AllocId, u32)>>();
    here.sort();
    let failed = |index: u32| record.group(group).and_then(|memory| memory.failed.get(&index));
    // One whose replacement failed is tried again when that is due, or never.
    let is_due = |index: u32| failed(index).is_none_or(|slot| slot.due.is_some_and(|due| due <= state.now));
    let budget = (spec.migrate.max_parallel as usize).saturating_sub(leaving.len());
    // Not while more than wanted are there.
    let is_over = has.active.len() + has.stopping.len() > spec.count as usize;
    let budget = if spec.kind.has_an_end() || is_over { 0 } else { budget };
    for (.., index) in here.into_iter().filter(|(.., index)| is_due(*index)).take(budget) {
        let avoid = failed(index).map(|slot| slot.node);
        lack.wants.push(Want { index, avoid, prefer: None, only: None });
    }
}
