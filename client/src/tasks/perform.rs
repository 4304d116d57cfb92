//! Asks the driver until it answers. Every request names its attempt, so that asking twice does no harm.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proto::ids::AllocId;
use proto::model::EndReason;
use proto::time::{BootTime, Timestamp};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::local::Local;
use super::prepare::prepare;
use crate::core::spec::Spec;
use crate::core::task_machine::{AttemptEnd, TaskEvent};
use crate::driver::{AttemptId, Driver, EndCause, Ended, Gone, StartSpec};
use crate::limits::{DRIVER_RETRY_FIRST, DRIVER_RETRY_MAX};
use crate::store::allocs::Allocs;

/// What all tasks of this agent share.
pub struct Context {
    /// Runs them.
    pub driver: Arc<dyn Driver>,
    /// Where records and folders are.
    pub store: Allocs,
    /// Where they run and what they may use there.
    pub local: watch::Receiver<Arc<Local>>,
    /// Knows when all work has ended, that on other threads too: the data directory is in use until then.
    pub tracker: TaskTracker,
    /// Bounds work on other threads, see [`crate::limits::DISK_AT_ONCE`].
    pub disk: Semaphore,
}

impl Context {
    /// Does what blocks on the disk on another thread, a few at a time.
    ///
    /// # Errors
    /// When the work panicked.
    pub async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        // It is never closed; without a permit the work is only less bounded.
        let permit = self.disk.acquire().await;
        let outcome = self.tracker.spawn_blocking(work).await;
        drop(permit);
        outcome
    }
}

/// Starts one attempt and returns what came of it. `cancel`: a stop was ordered; what the driver was not asked for yet is
/// never asked for, and what may have reached it is looked up. `deadline`: that of its fence.
pub async fn start(
    context: Arc<Context>,
    spec: Arc<Spec>,
    id: AttemptId,
    deadline: Option<BootTime>,
    cancel: CancellationToken,
) -> TaskEvent {
    let attempt = id.attempt;
    let start = match prepare_elsewhere(&context, spec, id.clone()).await {
        Ok(start) => Box::new(StartSpec { deadline_boot_ms: deadline.map(|at| at.0), ..*start }),
        Err((reason, hopeless)) => return TaskEvent::StartFailed { attempt, reason, hopeless },
    };
    let mut pause = DRIVER_RETRY_FIRST;
    loop {
        if cancel.is_cancelled() {
            return find(&context, &id).await;
        }
        match context.driver.start((*start).clone()).await {
            Ok(Ok(started)) => {
                return TaskEvent::Started {
                    attempt,
                    pid: started.pid,
                    at: Timestamp(started.started_at_ms),
                };
            }
            Ok(Err(failure)) => {
                let errno = failure.errno.unwrap_or(0);
                let reason = EndReason::StartFailed { step: failure.step, errno, message: failure.message };
                return TaskEvent::StartFailed { attempt, reason, hopeless: failure.hopeless };
            }
            Err(gone) => {
                tracing::warn!(attempt = %id, error = %gone, "the driver did not answer to a start");
                let _ = tokio::time::timeout(pause, cancel.cancelled()).await;
                pause = (pause * 2).min(DRIVER_RETRY_MAX);
            }
        }
    }
}

async fn prepare_elsewhere(
    context: &Arc<Context>,
    spec: Arc<Spec>,
    id: AttemptId,
) -> Result<Box<StartSpec>, (EndReason, bool)> {
    let local = context.local.borrow().clone();
    let folder = context.store.folder(AllocId(id.alloc));
    let work = move || {
        prepare(AllocId(id.alloc), &spec, &id.task, id.attempt, &local, &folder)
            .map(Box::new)
            .map_err(|error| error.reason())
    };
    context.on_disk(work).await.unwrap_or_else(|error| {
        let message = format!("a defect of the agent: {error}");
        Err((EndReason::StartFailed { step: "prepare".into(), errno: 0, message }, false))
    })
}

/// Returns whether the driver has an attempt that it may or may not have been asked for.
async fn find(context: &Context, id: &AttemptId) -> TaskEvent {
    let attempt = id.attempt;
    let listed = until_answered(|| context.driver.list()).await;
    match listed.into_iter().find(|known| known.id == *id) {
        Some(known) => TaskEvent::Started { attempt, pid: known.pid, at: Timestamp(known.started_at_ms) },
        None => TaskEvent::Unknown { attempt },
    }
}

/// Ends one attempt. Returns [`TaskEvent::Unknown`] when the driver does not know it; its end comes from the driver.
pub async fn stop(context: Arc<Context>, id: AttemptId, signal: i32, timeout: Duration) -> Option<TaskEvent> {
    let refused = until_answered(|| context.driver.stop(id.clone(), signal, timeout)).await.err()?;
    if refused.kind == "unknown" {
        return Some(TaskEvent::Unknown { attempt: id.attempt });
    }
    tracing::error!(attempt = %id, error = %refused, "the driver will not stop an attempt");
    None
}

/// Moves the fence of one attempt, once: when nobody answers, the next heartbeat moves it further.
pub async fn renew(context: Arc<Context>, id: AttemptId, deadline: BootTime) {
    match context.driver.set_deadline(id.clone(), Some(deadline.0)).await {
        Ok(Ok(())) => {}
        // It has ended, or its start is still on its way with a deadline of its own.
        Ok(Err(refused)) => tracing::debug!(attempt = %id, error = %refused, "its fence was not moved"),
        Err(gone) => tracing::warn!(attempt = %id, error = %gone, "its fence was not moved"),
    }
}

/// Lets the driver forget one attempt whose end is saved.
pub async fn forget(context: Arc<Context>, id: AttemptId) {
    if let Err(refused) = until_answered(|| context.driver.collect(id.clone())).await {
        tracing::warn!(attempt = %id, error = %refused, "the driver will not forget an attempt");
    }
}

/// The attempt's full name.
#[must_use]
pub fn attempt_id(alloc: AllocId, task: &str, attempt: u32) -> AttemptId {
    AttemptId { alloc: alloc.0, task: task.to_owned(), attempt }
}

/// Reads what the driver says of an end.
#[must_use]
pub fn end_of(ended: Ended) -> AttemptEnd {
    let reason = match ended.cause {
        _ if ended.stopped_by_us => EndReason::Stopped,
        EndCause::Exit(code) => EndReason::Exit(code),
        EndCause::Signal(number) => EndReason::Signal(number),
        EndCause::Oom => EndReason::Oom,
        EndCause::Killed => EndReason::Stopped,
        EndCause::Lease => EndReason::Lease,
        EndCause::Lost => EndReason::EngineGone,
    };
    AttemptEnd {
        attempt: ended.id.attempt,
        reason,
        at: Timestamp(ended.at_ms),
        ran: Duration::from_millis(ended.ran_ms),
        tail: ended.tail,
    }
}

/// Asks until somebody answers.
pub async fn until_answered<T, F>(mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, Gone>>,
{
    let mut pause = DRIVER_RETRY_FIRST;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(gone) => tracing::warn!(error = %gone, "the driver did not answer"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(DRIVER_RETRY_MAX);
    }
}
