//! Does what `core` asks for. Nothing that depends on the record happens before it is on disk: while it cannot be written,
//! what needs it waits, and only stopping goes on. A start waits for [`SAVE_PATIENCE`] and has failed then.

use super::alloc::Alloc;
use super::fence::Start;
use crate::core::task_machine::{Effect, Phase, TaskEvent};
use crate::limits::{SAVE_PATIENCE, SAVE_RETRY};
use crate::store::file::FileError;
use crate::tasks::perform::{self, attempt_id};
use proto::model::EndReason;
use proto::time::BootTime;
use tokio_util::sync::CancellationToken;

impl Alloc {
    /// Performs one effect of one task, in the order of the calls.
    pub(super) async fn perform(&mut self, task: &str, effect: Effect) {
        match effect {
            Effect::Save => self.save().await,
            // The driver never heard of it. Not kept: a policy that never gives up would make ever more of them.
            Effect::Forget(attempt) if self.given_up.get(task) == Some(&attempt) => {}
            Effect::Start(_) | Effect::Forget(_) if self.save_again_at.is_some() => {
                self.unsaved.push((task.to_owned(), effect, self.shared.clock.boot()));
            }
            Effect::Start(attempt) => self.begin_start(task.to_owned(), attempt),
            Effect::Forget(attempt) => self.begin_forget(task, attempt),
            Effect::Stop(attempt) => self.begin_stop(task, attempt),
            Effect::Timer(at) => {
                self.timers.insert(task.to_owned(), at);
            }
            Effect::Report => self.report(),
        }
    }

    /// Makes the record durable, then does what waited for that. A disk that refuses is tried again every second.
    pub(super) async fn save(&mut self) {
        let store = self.shared.tasks.store.clone();
        let record = self.record.clone();
        let saved = self.shared.tasks.on_disk(move || store.save(&record)).await;
        let now = self.shared.clock.boot();
        match saved {
            Ok(Ok(())) => {
                self.save_again_at = None;
                self.course_is_new = false;
                for (task, effect, _) in std::mem::take(&mut self.unsaved) {
                    match effect {
                        Effect::Start(attempt) => self.begin_start(task, attempt),
                        Effect::Forget(attempt) => self.begin_forget(&task, attempt),
                        Effect::Save | Effect::Stop(_) | Effect::Timer(_) | Effect::Report => {}
                    }
                }
            }
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(alloc = %self.record.id, %error, cause, "cannot save; what needs it waits");
                self.save_again_at = Some(now.plus(SAVE_RETRY));
                self.give_up_starts(&error, now);
            }
            Err(error) => {
                tracing::error!(alloc = %self.record.id, %error, "a defect of the agent while saving");
                self.save_again_at = Some(now.plus(SAVE_RETRY));
            }
        }
    }

    /// Lets starts fail that waited too long for the disk. The failure itself need not be on disk: the driver never heard of
    /// the attempt, so that a later one may have its number.
    fn give_up_starts(&mut self, error: &FileError, now: BootTime) {
        let cause = std::error::Error::source(error);
        let errno =
            cause.and_then(|cause| cause.downcast_ref::<std::io::Error>()?.raw_os_error()).unwrap_or(0);
        let message = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        let has_waited = |(_, effect, since): &mut (String, Effect, BootTime)| {
            matches!(effect, Effect::Start(_)) && now.since(*since) > SAVE_PATIENCE
        };
        for (task, effect, _) in self.unsaved.extract_if(.., has_waited) {
            let Effect::Start(attempt) = effect else { continue };
            self.given_up.insert(task.clone(), attempt);
            let reason = EndReason::StartFailed { step: "save".into(), errno, message: message.clone() };
            let failed = TaskEvent::StartFailed { attempt, reason, hopeless: false };
            self.work.push(Box::pin(async move { Some((task, failed)) }));
        }
    }

    /// Asks the driver for an attempt, unless a stop came while that had to wait.
    pub(super) fn begin_start(&mut self, task: String, attempt: u32) {
        let is_wanted = self
            .record
            .tasks
            .get(&task)
            .is_some_and(|state| state.phase == Phase::Starting && state.attempt == attempt);
        if !is_wanted {
            return;
        }
        if !*self.shared.may_start.borrow() {
            self.held_back.insert(task, attempt);
            return;
        }
        let deadline = match self.fence_of_start(&task, attempt) {
            Start::Now(deadline) => deadline,
            Start::Later => return,
            Start::Never => {
                let failed = TaskEvent::StartFailed { attempt, reason: EndReason::Lease, hopeless: true };
                self.work.push(Box::pin(async move { Some((task, failed)) }));
                return;
            }
        };
        let token = CancellationToken::new();
        self.starting.insert(task.clone(), token.clone());
        let id = attempt_id(self.record.id, &task, attempt);
        let start = perform::start(self.shared.tasks.clone(), self.spec.clone(), id, deadline, token);
        self.work.push(Box::pin(async move { Some((task, start.await)) }));
    }

    fn begin_forget(&mut self, task: &str, attempt: u32) {
        let id = attempt_id(self.record.id, task, attempt);
        let forget = perform::forget(self.shared.tasks.clone(), id);
        self.work.push(Box::pin(async move {
            forget.await;
            None
        }));
    }

    fn begin_stop(&mut self, task: &str, attempt: u32) {
        let waits = self.held_back.remove(task).is_some() | self.unfenced.remove(task).is_some();
        let unsaved_before = self.unsaved.len();
        self.unsaved.retain(|(name, effect, _)| name != task || !matches!(effect, Effect::Start(_)));
        if waits || self.unsaved.len() < unsaved_before {
            // The driver never heard of it.
            let task = task.to_owned();
            self.work.push(Box::pin(async move { Some((task, TaskEvent::Unknown { attempt })) }));
            return;
        }
        if let Some(token) = self.starting.get(task) {
            // Answers with what became of the start; a stop follows if there is anything to stop.
            token.cancel();
            return;
        }
        let id = attempt_id(self.record.id, task, attempt);
        let Some(spec) = self.spec.group.tasks.get(task) else { return };
        let stop = perform::stop(self.shared.tasks.clone(), id, spec.stop_signal, spec.stop_timeout);
        let task = task.to_owned();
        self.work.push(Box::pin(async move { stop.await.map(|event| (task, event)) }));
    }

    /// Removes all that is on disk; what fails is found again on the next start of the agent.
    pub(super) async fn remove(self) {
        let store = self.shared.tasks.store.clone();
        let id = self.record.id;
        match self.shared.tasks.on_disk(move || store.remove(id)).await {
            Ok(Ok(())) => tracing::debug!(alloc = %id, "removed"),
            Ok(Err(error)) => tracing::warn!(alloc = %id, %error, "cannot remove all of it"),
            Err(error) => tracing::error!(alloc = %id, %error, "a defect of the agent while removing"),
        }
    }
}
