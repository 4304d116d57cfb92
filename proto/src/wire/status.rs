//! `status.proto` to and from [`crate::model::AllocStatus`].

use std::time::Duration;

use super::{BadMessage, need, v1};
use crate::ids::AllocId;
use crate::limits;
use crate::model::{AllocState, AllocStatus, EndReason, TaskEnd, TaskPhase, TaskStatus};
use crate::time::Timestamp;

/// Writes what an agent saw.
#[must_use]
pub fn to_wire(status: &AllocStatus) -> v1::AllocStatus {
    v1::AllocStatus {
        id: status.id.0,
        seq: status.seq,
        state: state_to_wire(status.state).into(),
        tasks: status.tasks.iter().map(task_to_wire).collect(),
    }
}

/// Reads what an agent saw.
///
/// # Errors
/// [`BadMessage`] names the first field that makes no sense.
pub fn from_wire(status: v1::AllocStatus) -> Result<AllocStatus, BadMessage> {
    Ok(AllocStatus {
        id: AllocId(status.id),
        seq: status.seq,
        state: state_from_wire(status.state)?,
        tasks: status.tasks.into_iter().map(task_from_wire).collect::<Result<_, _>>()?,
    })
}

fn state_to_wire(state: AllocState) -> v1::AllocState {
    match state {
        AllocState::Pending => v1::AllocState::Pending,
        AllocState::Preparing => v1::AllocState::Preparing,
        AllocState::Starting => v1::AllocState::Starting,
        AllocState::Running => v1::AllocState::Running,
        AllocState::Stopping => v1::AllocState::Stopping,
        AllocState::Complete => v1::AllocState::Complete,
        AllocState::Failed => v1::AllocState::Failed,
        AllocState::Stopped => v1::AllocState::Stopped,
    }
}

fn state_from_wire(state: i32) -> Result<AllocState, BadMessage> {
    Ok(match v1::AllocState::try_from(state) {
        Ok(v1::AllocState::Pending) => AllocState::Pending,
        Ok(v1::AllocState::Preparing) => AllocState::Preparing,
        Ok(v1::AllocState::Starting) => AllocState::Starting,
        Ok(v1::AllocState::Running) => AllocState::Running,
        Ok(v1::AllocState::Stopping) => AllocState::Stopping,
        Ok(v1::AllocState::Complete) => AllocState::Complete,
        Ok(v1::AllocState::Failed) => AllocState::Failed,
        Ok(v1::AllocState::Stopped) => AllocState::Stopped,
        _ => return Err(BadMessage { field: "state" }),
    })
}

fn task_to_wire(task: &TaskStatus) -> v1::TaskStatus {
    let (phase, until) = match task.phase {
        TaskPhase::Waiting => (v1::TaskPhase::Waiting, 0),
        TaskPhase::Starting => (v1::TaskPhase::Starting, 0),
        TaskPhase::Running => (v1::TaskPhase::Running, 0),
        TaskPhase::Backoff(until) => (v1::TaskPhase::Backoff, until.0),
        TaskPhase::Stopping => (v1::TaskPhase::Stopping, 0),
        TaskPhase::Ended => (v1::TaskPhase::Ended, 0),
    };
    v1::TaskStatus {
        name: task.name.clone(),
        phase: phase.into(),
        backoff_until_ms: until,
        attempt: task.attempt,
        window_try: task.window_try,
        window_tries: task.window_tries,
        pid: task.pid,
        started_at_ms: task.started_at.map(|at| at.0),
        last_end: task.last_end.as_ref().map(end_to_wire),
    }
}

fn task_from_wire(task: v1::TaskStatus) -> Result<TaskStatus, BadMessage> {
    let phase = match v1::TaskPhase::try_from(task.phase) {
        Ok(v1::TaskPhase::Waiting) => TaskPhase::Waiting,
        Ok(v1::TaskPhase::Starting) => TaskPhase::Starting,
        Ok(v1::TaskPhase::Running) => TaskPhase::Running,
        Ok(v1::TaskPhase::Backoff) => TaskPhase::Backoff(Timestamp(task.backoff_until_ms)),
        Ok(v1::TaskPhase::Stopping) => TaskPhase::Stopping,
        Ok(v1::TaskPhase::Ended) => TaskPhase::Ended,
        _ => return Err(BadMessage { field: "phase" }),
    };
    Ok(TaskStatus {
        name: task.name,
        phase,
        attempt: task.attempt,
        window_try: task.window_try,
        window_tries: task.window_tries,
        pid: task.pid,
        started_at: task.started_at_ms.map(Timestamp),
        last_end: task.last_end.map(end_from_wire).transpose()?,
    })
}

fn end_to_wire(end: &TaskEnd) -> v1::TaskEnd {
    v1::TaskEnd {
        reason: Some(reason_to_wire(&end.reason)),
        at_ms: end.at.0,
        ran_ms: crate::time::millis(end.ran),
        tail: end.tail.clone(),
    }
}

fn end_from_wire(end: v1::TaskEnd) -> Result<TaskEnd, BadMessage> {
    Ok(TaskEnd {
        reason: reason_from_wire(need(end.reason, "reason")?)?,
        at: Timestamp(end.at_ms),
        ran: Duration::from_millis(end.ran_ms),
        tail: shortened(end.tail, limits::TAIL_BYTES),
    })
}

/// Writes why a try ended.
#[must_use]
pub fn reason_to_wire(reason: &EndReason) -> v1::EndReason {
    use v1::end_reason::{Kind, Nothing, StartFailed};
    let kind = match reason {
        EndReason::Exit(code) => Kind::Exit(*code),
        EndReason::Signal(number) => Kind::Signal(*number),
        EndReason::Oom => Kind::Oom(Nothing {}),
        EndReason::Stopped => Kind::Stopped(Nothing {}),
        EndReason::Timeout => Kind::Timeout(Nothing {}),
        EndReason::StartFailed { step, errno, message } => {
            Kind::StartFailed(StartFailed { step: step.clone(), errno: *errno, message: message.clone() })
        }
        EndReason::CheckFailed => Kind::CheckFailed(Nothing {}),
        EndReason::Lease => Kind::Lease(Nothing {}),
        EndReason::EngineGone => Kind::EngineGone(Nothing {}),
    };
    v1::EndReason { kind: Some(kind) }
}

/// Reads why a try ended.
///
/// # Errors
/// [`BadMessage`] when there is no reason that this version knows.
pub fn reason_from_wire(reason: v1::EndReason) -> Result<EndReason, BadMessage> {
    use v1::end_reason::Kind;
    Ok(match need(reason.kind, "reason")? {
        Kind::Exit(code) => EndReason::Exit(code),
        Kind::Signal(number) => EndReason::Signal(number),
        Kind::Oom(_) => EndReason::Oom,
        Kind::Stopped(_) => EndReason::Stopped,
        Kind::Timeout(_) => EndReason::Timeout,
        Kind::StartFailed(failed) => EndReason::StartFailed {
            step: shortened(failed.step, limits::MESSAGE_CHARS),
            errno: failed.errno,
            message: shortened(failed.message, limits::MESSAGE_CHARS),
        },
        Kind::CheckFailed(_) => EndReason::CheckFailed,
        Kind::Lease(_) => EndReason::Lease,
        Kind::EngineGone(_) => EndReason::EngineGone,
    })
}

/// Cuts a text that is longer than any well-behaved agent sends: what is read here is replicated and kept.
fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_says_is_bounded() {
        let reason = EndReason::StartFailed { step: "exec".into(), errno: 2, message: "é".repeat(4000) };
        let end = TaskEnd { reason, at: Timestamp(1), ran: Duration::ZERO, tail: "x".repeat(100_000) };
        let read = end_from_wire(end_to_wire(&end)).expect("reads");
        assert_eq!(read.tail.len(), limits::TAIL_BYTES);
        let EndReason::StartFailed { message, .. } = read.reason else { panic!("{:?}", read.reason) };
        assert!(message.len() <= limits::MESSAGE_CHARS && message.ends_with('é'));
    }
}
