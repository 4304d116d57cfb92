//! Between the driver's words and the keeper's.

use std::path::PathBuf;

use super::{AttemptId, EndCause, Ended, Refused, StartFailure, StartSpec};
use crate::keeper::message::{self, Cause, Id};

/// Turns a spec into the keeper's words.
///
/// # Errors
/// When a path is not UTF-8.
pub(super) fn message_of(spec: StartSpec) -> Result<message::Start, StartFailure> {
    let text = |step: &str, path: PathBuf| {
        path.into_os_string().into_string().map_err(|path| StartFailure {
            step: step.into(),
            errno: None,
            message: format!("{step}: {} is not UTF-8", path.display()),
            hopeless: true,
        })
    };
    let logs_file = spec.logs_also.file.map(|path| text("logs.file", path)).transpose()?;
    let also = message::Also {
        file: logs_file.unwrap_or_default(),
        journal: spec.logs_also.journal.unwrap_or_default(),
    };
    Ok(message::Start {
        also: (also != message::Also::default()).then_some(also),
        id: spec.id.into(),
        command: spec.command,
        args: spec.args,
        env: spec.env.into_iter().map(|(name, value)| message::Variable { name, value }).collect(),
        workdir: spec.workdir.map(|path| text("workdir", path)).transpose()?.unwrap_or_default(),
        user: spec.user.map(|user| message::User { uid: user.uid, gid: user.gid, groups: user.groups }),
        log_dir: text("logs", spec.log_dir)?,
        log_files: spec.logs.files,
        log_file_bytes: spec.logs.file_bytes,
        stop_signal: spec.stop_signal,
        stop_timeout_ms: spec.stop_timeout.as_millis() as u64,
        deadline_boot_ms: spec.deadline_boot_ms.unwrap_or(0),
    })
}

impl From<AttemptId> for Id {
    fn from(id: AttemptId) -> Id {
        Id { alloc: id.alloc, task: id.task, attempt: id.attempt }
    }
}

impl From<Id> for AttemptId {
    fn from(id: Id) -> AttemptId {
        AttemptId { alloc: id.alloc, task: id.task, attempt: id.attempt }
    }
}

impl From<message::Refused> for Refused {
    fn from(refused: message::Refused) -> Refused {
        Refused { kind: refused.kind, message: refused.message }
    }
}

impl From<message::Ended> for Ended {
    fn from(ended: message::Ended) -> Ended {
        let cause = match Cause::try_from(ended.cause) {
            Ok(Cause::Exit) => EndCause::Exit(ended.code),
            Ok(Cause::Signal) => EndCause::Signal(ended.code),
            Ok(Cause::Oom) => EndCause::Oom,
            Ok(Cause::Killed) => EndCause::Killed,
            Ok(Cause::Lease) => EndCause::Lease,
            // A cause of a newer keeper is as unknown as a lost one.
            Ok(Cause::Lost) | Err(_) => EndCause::Lost,
        };
        Ended {
            id: ended.id.into(),
            cause,
            stopped_by_us: ended.stopped,
            at_ms: ended.at_wall_ms,
            ran_ms: ended.ran_ms,
            tail: ended.tail,
            dropped_bytes: ended.dropped_bytes,
        }
    }
}
