//! The fence of an allocation: nothing of it starts without a deadline, and its deadlines move with what servers confirm.

use proto::model::EndReason;
use proto::time::BootTime;

use super::alloc::{Alloc, Handle, Message};
use super::manager::Manager;
use crate::core::fence;
use crate::core::task_machine::{Phase, TaskState};
use crate::tasks::perform::{self, attempt_id};

/// Whether a start may be asked for.
pub(super) enum Start {
    /// With this deadline; none where there is no fence.
    Now(Option<BootTime>),
    /// When servers have confirmed a heartbeat.
    Later,
    /// The fence has ended the allocation: its replacement may run.
    Never,
}

impl Manager {
    /// Lets the fences of all allocations hold on from a heartbeat that was sent then.
    pub(super) async fn renew_fences(&mut self, sent: BootTime) {
        self.confirmed = self.confirmed.max(Some(sent));
        for one in self.allocs.values().filter(|one| one.fence().is_some()) {
            one.send(Message::Confirmed(sent)).await;
        }
        self.note_fences();
    }

    /// Says what the shortest fence is.
    pub(super) fn note_fences(&self) {
        let shortest = self.allocs.values().filter_map(Handle::fence).min();
        self.fence.send_if_modified(|known| std::mem::replace(known, shortest) != shortest);
    }
}

impl Alloc {
    /// Says whether a task may start now, and notes that it waits if not yet.
    pub(super) fn fence_of_start(&mut self, task: &str, attempt: u32) -> Start {
        let Some(fence) = self.spec.fence else { return Start::Now(None) };
        let fenced_off =
            |state: &TaskState| state.last_end.as_ref().is_some_and(|end| end.reason == EndReason::Lease);
        if self.record.tasks.values().any(fenced_off) {
            return Start::Never;
        }
        match fence::may_start(self.confirmed, fence.after, self.shared.clock.boot()) {
            Some(deadline) => Start::Now(Some(deadline)),
            None => {
                self.unfenced.insert(task.to_owned(), attempt);
                Start::Later
            }
        }
    }

    /// Moves the deadlines of all that runs, and starts what has waited for one.
    pub(super) fn renew_fence(&mut self, sent: BootTime) {
        let Some(fence) = self.spec.fence.filter(|_| Some(sent) > self.confirmed) else { return };
        self.confirmed = Some(sent);
        let deadline = fence::deadline(sent, fence.after);
        let lives =
            |state: &&TaskState| matches!(state.phase, Phase::Starting | Phase::Running | Phase::Stopping);
        for (task, state) in &self.record.tasks {
            if !self.unfenced.contains_key(task) && lives(&state) {
                let id = attempt_id(self.record.id, task, state.attempt);
                let renew = perform::renew(self.shared.tasks.clone(), id, deadline);
                self.work.push(Box::pin(async move {
                    renew.await;
                    None
                }));
            }
        }
        for (task, attempt) in std::mem::take(&mut self.unfenced) {
            self.begin_start(task, attempt);
        }
    }
}
