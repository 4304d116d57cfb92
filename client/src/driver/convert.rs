//! Between the driver's words and the keeper's.

use std::path::PathBuf;

use super::{AttemptId, Bind, Confine, EndCause, Ended, Limits, Refused, StartFailure, StartSpec, Usage};
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
    let bind = |bind: Bind| {
        let (source, target) = (text("mount", bind.source)?, text("mount", bind.target)?);
        Ok(message::Bind { source, target, read_only: bind.read_only })
    };
    let binds = spec.binds.into_iter().map(bind).collect::<Result<_, _>>()?;
    let folders = spec.folders.into_iter().map(|path| text("mount", path)).collect::<Result<_, _>>()?;
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
        fence_grace_ms: spec.fence_grace.as_millis() as u64,
        confine: Some(confine_of(spec.limits, spec.confine, binds, folders)),
    })
}

fn confine_of(
    limits: Limits,
    confine: Confine,
    binds: Vec<message::Bind>,
    folders: Vec<String>,
) -> message::Confine {
    let rlimit = |limit: &super::confine::Rlimit| message::Rlimit {
        resource: limit.resource,
        soft: limit.soft,
        hard: limit.hard,
    };
    message::Confine {
        memory_bytes: limits.memory_bytes,
        cpu_millis: limits.cpu_millis,
        pids: limits.pids,
        rlimits: confine.rlimits.iter().map(rlimit).collect(),
        nice: confine.nice.map(i32::from),
        oom_score_adj: confine.oom_score_adj.map(i32::from),
        capabilities: confine.capabilities,
        new_privileges: confine.new_privileges,
        pid: confine.isolate.pid,
        ipc: confine.isolate.ipc,
        mount: confine.isolate.mount,
        network: confine.isolate.network,
        binds,
        folders,
    }
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

impl From<message::Usage> for Usage {
    fn from(usage: message::Usage) -> Usage {
        Usage {
            memory_bytes: usage.memory_bytes,
            memory_peak_bytes: usage.memory_peak_bytes,
            cpu_us: usage.cpu_us,
            processes: usage.processes,
        }
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
