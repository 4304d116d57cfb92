//! The tasks of `job.proto` to and from [`crate::model::Task`].

use std::time::Duration;

use super::job::{resources_from_wire, resources_to_wire};
use super::{BadMessage, need, v1};
use crate::model::{
    Confinement, Isolate, Lifecycle, Limits, LogPolicy, Mount, NodeEnvFile, Process, Rlimit, Task, TaskFile,
};
use crate::time::millis;

/// Writes a task.
pub(super) fn task_to_wire(task: &Task) -> v1::Task {
    v1::Task {
        process: Some(v1::Process {
            command: task.process.command.clone(),
            args: task.process.args.clone(),
            user: task.process.user.clone().unwrap_or_default(),
            workdir: task.process.workdir.clone().unwrap_or_default(),
        }),
        env: task.env.clone(),
        resources: Some(resources_to_wire(task.resources)),
        stop_signal: task.stop_signal,
        stop_timeout_ms: millis(task.stop_timeout),
        logs: Some(logs_to_wire(&task.logs)),
        lifecycle: lifecycle_to_wire(task.lifecycle),
        critical: task.critical,
        limits: limits_to_wire(task.limits),
        files: task.files.iter().map(file_to_wire).collect(),
        env_files: task.env_files.iter().map(env_file_to_wire).collect(),
        mounts: task.mounts.iter().map(mount_to_wire).collect(),
        confinement: confinement_to_wire(&task.confinement),
    }
}

/// Reads a task.
///
/// # Errors
/// [`BadMessage`] names the first field that is missing or holds what no task can.
pub(super) fn task_from_wire(task: v1::Task) -> Result<Task, BadMessage> {
    let process = need(task.process, "process")?;
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let limits = task.limits.unwrap_or_default();
    Ok(Task {
        process: Process {
            command: process.command,
            args: process.args,
            user: some(process.user),
            workdir: some(process.workdir),
        },
        env: task.env,
        resources: resources_from_wire(need(task.resources, "resources")?),
        stop_signal: task.stop_signal,
        stop_timeout: Duration::from_millis(task.stop_timeout_ms),
        logs: logs_from_wire(need(task.logs, "logs")?),
        lifecycle: lifecycle_from_wire(task.lifecycle)?,
        critical: task.critical,
        limits: Limits {
            memory_bytes: limits.memory_bytes,
            cpu_millis: limits.cpu_millis,
            pids: limits.pids,
        },
        files: task.files.into_iter().map(file_from_wire).collect(),
        env_files: task.env_files.into_iter().map(env_file_from_wire).collect(),
        mounts: task.mounts.into_iter().map(mount_from_wire).collect(),
        confinement: confinement_from_wire(task.confinement.unwrap_or_default())?,
    })
}

fn logs_to_wire(logs: &LogPolicy) -> v1::Logs {
    v1::Logs {
        max_files: logs.max_files,
        max_file_bytes: logs.max_file_bytes,
        // Left out where it is the default: what was stored before there was such a field reads the same.
        retain_ms: (logs.retain != LogPolicy::DEFAULT_RETAIN).then(|| millis(logs.retain)),
        file: logs.file.clone().unwrap_or_default(),
        journald: logs.journald,
    }
}

fn logs_from_wire(logs: v1::Logs) -> LogPolicy {
    LogPolicy {
        max_files: logs.max_files,
        max_file_bytes: logs.max_file_bytes,
        retain: logs.retain_ms.map_or(LogPolicy::DEFAULT_RETAIN, Duration::from_millis),
        file: Some(logs.file).filter(|file| !file.is_empty()),
        journald: logs.journald,
    }
}

fn lifecycle_to_wire(lifecycle: Lifecycle) -> Option<v1::Lifecycle> {
    use v1::lifecycle::Hook;
    let (hook, sidecar) = match lifecycle {
        Lifecycle::Main => return None,
        Lifecycle::Prestart { sidecar } => (Hook::Prestart, sidecar),
        Lifecycle::Poststart { sidecar } => (Hook::Poststart, sidecar),
        Lifecycle::Poststop => (Hook::Poststop, false),
    };
    Some(v1::Lifecycle { hook: hook.into(), sidecar })
}

fn lifecycle_from_wire(lifecycle: Option<v1::Lifecycle>) -> Result<Lifecycle, BadMessage> {
    use v1::lifecycle::Hook;
    let Some(v1::Lifecycle { hook, sidecar }) = lifecycle else { return Ok(Lifecycle::Main) };
    match (Hook::try_from(hook), sidecar) {
        (Ok(Hook::Main), false) => Ok(Lifecycle::Main),
        (Ok(Hook::Prestart), sidecar) => Ok(Lifecycle::Prestart { sidecar }),
        (Ok(Hook::Poststart), sidecar) => Ok(Lifecycle::Poststart { sidecar }),
        (Ok(Hook::Poststop), false) => Ok(Lifecycle::Poststop),
        _ => Err(BadMessage { field: "lifecycle" }),
    }
}

fn limits_to_wire(limits: Limits) -> Option<v1::Limits> {
    let Limits { memory_bytes, cpu_millis, pids } = limits;
    (limits != Limits::default()).then_some(v1::Limits { memory_bytes, cpu_millis, pids })
}

fn file_to_wire(file: &TaskFile) -> v1::TaskFile {
    v1::TaskFile { to: file.to.clone(), content: file.content.clone(), mode: file.mode }
}

fn file_from_wire(file: v1::TaskFile) -> TaskFile {
    TaskFile { to: file.to, content: file.content, mode: file.mode }
}

fn env_file_to_wire(file: &NodeEnvFile) -> v1::NodeEnvFile {
    v1::NodeEnvFile { path: file.path.clone(), optional: file.optional }
}

fn env_file_from_wire(file: v1::NodeEnvFile) -> NodeEnvFile {
    NodeEnvFile { path: file.path, optional: file.optional }
}

fn mount_to_wire(mount: &Mount) -> v1::Mount {
    v1::Mount { volume: mount.volume.clone(), to: mount.to.clone(), read_only: mount.read_only }
}

fn mount_from_wire(mount: v1::Mount) -> Mount {
    Mount { volume: mount.volume, to: mount.to, read_only: mount.read_only }
}

fn confinement_to_wire(confinement: &Confinement) -> Option<v1::Confinement> {
    if *confinement == Confinement::default() {
        return None;
    }
    let rlimit = |limit: &Rlimit| v1::Rlimit { soft: limit.soft, hard: limit.hard };
    let Isolate { pid, ipc, mount, network } = confinement.isolate;
    Some(v1::Confinement {
        rlimits: confinement.rlimits.iter().map(|(name, limit)| (name.clone(), rlimit(limit))).collect(),
        nice: confinement.nice.map(i32::from),
        oom_score_adj: confinement.oom_score_adj.map(i32::from),
        capabilities: confinement.capabilities.clone().map(|names| v1::Capabilities { names }),
        new_privileges: confinement.new_privileges,
        isolate: Some(v1::Isolate { pid, ipc, mount, network }),
    })
}

fn confinement_from_wire(confinement: v1::Confinement) -> Result<Confinement, BadMessage> {
    let rlimit = |limit: v1::Rlimit| Rlimit { soft: limit.soft, hard: limit.hard };
    let isolate = confinement.isolate.unwrap_or_default();
    let nice = confinement.nice.map(i8::try_from).transpose();
    let oom_score_adj = confinement.oom_score_adj.map(i16::try_from).transpose();
    Ok(Confinement {
        rlimits: confinement.rlimits.into_iter().map(|(name, limit)| (name, rlimit(limit))).collect(),
        nice: nice.map_err(|_| BadMessage { field: "nice" })?,
        oom_score_adj: oom_score_adj.map_err(|_| BadMessage { field: "oom_score_adj" })?,
        capabilities: confinement.capabilities.map(|list| list.names),
        new_privileges: confinement.new_privileges,
        isolate: Isolate {
            pid: isolate.pid,
            ipc: isolate.ipc,
            mount: isolate.mount,
            network: isolate.network,
        },
    })
}
