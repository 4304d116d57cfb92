//! What a slot remembers of its failures: when it is replaced, how often it was, and where its work can never start.

use proto::ids::{AllocId, JobKey};
use proto::model::{AllocState, Desired, EndReason, OnExhausted, StopReason};
use proto::time::Timestamp;

use super::plans::is_current_work;
use super::statuses::failed_task;
use crate::core::state::{Alloc, Slot, State};

impl State {
    /// Keeps in step which allocation fills a slot, after one was lost or found.
    pub(super) fn note_slot(&mut self, id: AllocId) {
        let Some(alloc) = self.allocs.get(id) else { return };
        if let Some(record) = self.jobs.get_mut(alloc.job.as_ref()) {
            record.note_slot(alloc);
        }
    }

    /// Begins a new allocation of a slot: returns what it replaces, and how many replacements after failures that makes.
    pub(super) fn begin_slot(&mut self, job: &JobKey, group: &str, index: u32) -> (Option<AllocId>, u32) {
        let Some(record) = self.jobs.get_mut(job) else { return (None, 0) };
        let state = record.groups.get_mut(group);
        let (restart, failed) =
            state.map_or((None, None), |state| (state.restarts.remove(&index), state.failed.remove(&index)));
        if let Some(restart) = restart {
            // A person's wish begins a new series.
            return (Some(restart.last), 0);
        }
        if let Some(slot) = failed {
            return (Some(slot.last), slot.replacements + 1);
        }
        // Only what moves off a drained node still fills a slot that begins.
        let moves = if self.nodes.draining().is_empty() { None } else { record.filler_of(group, index) };
        if let Some(moves) = moves.and_then(|id| self.allocs.get(id)) {
            return (Some(moves.id), moves.replacements);
        }
        let lost = record.lost_of(group, index);
        let lost = lost.and_then(|id| self.allocs.get(id)).map(|alloc| (alloc.id, alloc.replacements));
        // A lost node's work uses up no attempt.
        lost.map_or((None, 0), |(id, replacements)| (Some(id), replacements))
    }

    /// Remembers how an allocation ended. Work of an older version, and work that nobody wants, leaves no trace.
    pub(super) fn end_slot(&mut self, alloc: &Alloc) {
        if self.note_restart(alloc) {
            return;
        }
        let now = self.now;
        let Some(record) = self.jobs.get_mut(alloc.job.as_ref()) else { return };
        let version = record.current().clone();
        if record.stopped || alloc.lost || !is_current_work(&version, &alloc.group, alloc.work) {
            return;
        }
        let Some(group) = version.job.groups.get(alloc.group.as_ref()) else { return };
        // What leaves has its replacement already, and needs no other however it ends.
        let leaves = record.is_leaving(alloc);
        let gave_up = alloc.desired == Desired::Stop(StopReason::NotMoved)
            && record
                .leaving_of(&alloc.group, alloc.index)
                .and_then(|id| self.allocs.get(id))
                .is_some_and(|stays| self.nodes.is_draining(stays.node));
        let state = record.groups.entry(alloc.group.to_string()).or_default();
        match alloc.state {
            // A service is complete where only failures are restarted: what it was meant to do is done, and not begun anew.
            AllocState::Complete => {
                state.done.insert(alloc.index);
            }
            AllocState::Failed if leaves => {}
            // Its fence ended it, which says nothing of the work or of the node: it begins anew at once.
            AllocState::Failed if is_fenced_off(alloc) => {}
            AllocState::Failed => {
                let hopeless = never_starts(alloc);
                if hopeless {
                    state.avoid.insert(alloc.node);
                }
                let ran = alloc.running_since.map_or(Default::default(), |since: Timestamp| now.since(since));
                let replacements = if ran > group.reschedule.max_delay { 0 } else { alloc.replacements };
                let moves = hopeless || group.restart.on_exhausted == OnExhausted::Move;
                let left = group.reschedule.attempts.is_none_or(|attempts| replacements < attempts);
                let due = (moves && left).then(|| now.plus(group.reschedule.delay_after(replacements)));
                let slot = Slot { last: alloc.id, node: alloc.node, replacements, failed_at: now, due };
                state.failed.insert(alloc.index, slot);
            }
            // It was not healthy in time: another is tried, elsewhere and not at once.
            AllocState::Stopped if gave_up => {
                let replacements = alloc.replacements;
                let left = group.reschedule.attempts.is_none_or(|attempts| replacements < attempts);
                let due = left.then(|| now.plus(group.reschedule.delay_after(replacements)));
                let slot = Slot { last: alloc.id, node: alloc.node, replacements, failed_at: now, due };
                state.failed.insert(alloc.index, slot);
            }
            _ => {}
        }
    }
}

/// Failures of a start that pass: EAGAIN, ENOMEM, EBUSY, ENFILE, EMFILE, ETXTBSY, ENOSPC, EIO, EINTR, EDQUOT.
const PASSING: [i32; 10] = [11, 12, 16, 23, 24, 26, 28, 5, 4, 122];

/// Returns whether an allocation was ended because its node could not reach the servers in time.
fn is_fenced_off(alloc: &Alloc) -> bool {
    failed_task(alloc).is_some_and(|(_, end)| end.reason == EndReason::Lease)
}

/// Returns whether an allocation failed in a way that its node cannot mend.
fn never_starts(alloc: &Alloc) -> bool {
    failed_task(alloc).is_some_and(|(_, end)| match end.reason {
        EndReason::StartFailed { errno, .. } => !PASSING.contains(&errno),
        _ => false,
    })
}
