//! A task, in full or as briefly as it can be said.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::super::emit::Lines;
use super::super::{signal, variables};
use super::texts;
use crate::model::{Confinement, Isolate, Lifecycle, LogPolicy, Mount, NodeEnvFile, Rlimit, Task, TaskFile};
use crate::units::{show_cpu, show_duration, show_size};

/// Writes a task.
pub(super) fn explain(lines: &mut Lines, task: &Task) {
    lines.text(8, "command", &task.process.command);
    if !task.process.args.is_empty() || lines.wants(false) {
        list(lines, 8, "args", &task.process.args);
    }
    texts(lines, 8, "env", &task.env);
    env_files(lines, &task.env_files);
    files(lines, &task.files);
    match &task.process.user {
        Some(user) => lines.text(8, "user", user),
        None => remark(lines, "user: the agent's default user"),
    }
    match &task.process.workdir {
        Some(workdir) => lines.text(8, "workdir", workdir),
        None => remark(lines, "workdir: the task's own directory"),
    }
    resources(lines, task);
    mounts(lines, &task.mounts);
    lifecycle(lines, task.lifecycle);
    if lines.wants(task.critical) {
        lines.bool(8, "critical", task.critical);
    }
    if lines.wants(task.stop_signal != Task::DEFAULT_STOP_SIGNAL) {
        lines.yaml(8, "stop_signal", &signal::show(task.stop_signal));
    }
    if lines.wants(task.stop_timeout != Task::DEFAULT_STOP_TIMEOUT) {
        lines.yaml(8, "stop_timeout", &show_duration(task.stop_timeout));
    }
    logs(lines, &task.logs);
    confinement(lines, &task.confinement);
}

/// Says in the full form what a key that is not written leaves to others.
fn remark(lines: &mut Lines, text: &str) {
    if lines.wants(false) {
        lines.raw(8, &format!("# {text}"));
    }
}

/// Begins a list of mappings, if it has any.
fn open_list(lines: &mut Lines, key: &str, is_empty: bool) {
    if !is_empty {
        lines.open(8, key);
    } else if lines.wants(false) {
        lines.yaml(8, key, "[]");
    }
}

fn list(lines: &mut Lines, indent: usize, key: &str, items: &[String]) {
    if items.is_empty() {
        return lines.yaml(indent, key, "[]");
    }
    lines.open(indent, key);
    for item in items {
        lines.item(indent + 2, item);
    }
}

fn env_files(lines: &mut Lines, files: &[NodeEnvFile]) {
    open_list(lines, "env_files", files.is_empty());
    for file in files {
        lines.first_text(10, "path", &file.path);
        lines.bool(12, "on_node", true);
        if lines.wants(file.optional) {
            lines.bool(12, "optional", file.optional);
        }
    }
}

fn files(lines: &mut Lines, files: &[TaskFile]) {
    open_list(lines, "files", files.is_empty());
    for file in files {
        lines.first_text(10, "to", &file.to);
        if lines.wants(file.mode != TaskFile::DEFAULT_MODE) {
            lines.yaml(12, "mode", &format!("0{:03o}", file.mode));
        }
        match std::str::from_utf8(&file.content) {
            Ok(text) if !text.contains('\0') => lines.text(12, "content", &variables::escaped(text)),
            _ => lines.text(12, "base64", &BASE64.encode(&file.content)),
        }
    }
}

fn resources(lines: &mut Lines, task: &Task) {
    let none = || "none".to_owned();
    let cpu = |millis: u64| show_cpu(u32::try_from(millis).unwrap_or(u32::MAX));
    let (resources, limits) = (&task.resources, &task.limits);
    let (memory, memory_limit) = memory_is_said(task);
    // What is not written is reserved as usual, but never more than may be used.
    let usual = Task::DEFAULT_RESOURCES.cpu_millis;
    let usual_cpu = limits.cpu_millis.map_or(usual, |limit| limit.min(usual));
    let is_special = [
        resources.cpu_millis != usual_cpu,
        memory,
        limits.cpu_millis.is_some(),
        memory_limit,
        limits.pids.is_some(),
    ];
    if !lines.wants(is_special.contains(&true)) {
        return;
    }
    lines.open(8, "resources");
    let values = [
        ("cpu", cpu(resources.cpu_millis)),
        ("memory", show_size(resources.memory_bytes)),
        ("cpu_limit", limits.cpu_millis.map_or_else(none, cpu)),
        ("memory_limit", limits.memory_bytes.map_or_else(none, show_size)),
        ("pids", limits.pids.map_or_else(none, |pids| pids.to_string())),
    ];
    for ((key, value), is_special) in values.iter().zip(is_special) {
        if lines.wants(is_special) {
            lines.yaml(10, key, value);
        }
    }
}

/// Returns whether `memory` and `memory_limit` have to be written: each stands for the other where that is written alone.
fn memory_is_said(task: &Task) -> (bool, bool) {
    let (reserved, usual) = (task.resources.memory_bytes, Task::DEFAULT_RESOURCES.memory_bytes);
    match task.limits.memory_bytes {
        None => (reserved != usual, reserved != usual),
        Some(limit) if limit == reserved => (true, false),
        Some(limit) => (reserved != limit.min(usual), true),
    }
}

fn mounts(lines: &mut Lines, mounts: &[Mount]) {
    open_list(lines, "mounts", mounts.is_empty());
    for mount in mounts {
        lines.first_text(10, "volume", &mount.volume);
        lines.text(12, "to", &mount.to);
        if lines.wants(mount.read_only) {
            lines.bool(12, "read_only", mount.read_only);
        }
    }
}

fn lifecycle(lines: &mut Lines, lifecycle: Lifecycle) {
    let (hook, sidecar) = match lifecycle {
        Lifecycle::Main if lines.wants(false) => return lines.yaml(8, "lifecycle", "main"),
        Lifecycle::Main => return,
        Lifecycle::Prestart { sidecar } => ("prestart", sidecar),
        Lifecycle::Poststart { sidecar } => ("poststart", sidecar),
        Lifecycle::Poststop => ("poststop", false),
    };
    let sidecar = if lines.wants(sidecar) { format!(", sidecar: {sidecar}") } else { String::new() };
    lines.yaml(8, "lifecycle", &format!("{{hook: {hook}{sidecar}}}"));
}

fn logs(lines: &mut Lines, logs: &LogPolicy) {
    let usual = LogPolicy::default();
    if !lines.wants(*logs != usual) {
        return;
    }
    lines.open(8, "logs");
    if lines.wants(logs.max_files != usual.max_files) {
        lines.yaml(10, "max_files", &logs.max_files.to_string());
    }
    if lines.wants(logs.max_file_bytes != usual.max_file_bytes) {
        lines.yaml(10, "max_file_size", &show_size(logs.max_file_bytes));
    }
    if lines.wants(logs.retain != usual.retain) {
        lines.yaml(10, "retain", &show_duration(logs.retain));
    }
    match &logs.file {
        Some(file) => lines.text(10, "file", file),
        None if lines.wants(false) => lines.yaml(10, "file", "none"),
        None => {}
    }
    if lines.wants(logs.journald) {
        lines.yaml(10, "to", if logs.journald { "journald" } else { "none" });
    }
}

fn confinement(lines: &mut Lines, confinement: &Confinement) {
    if !confinement.rlimits.is_empty() {
        lines.open(8, "rlimits");
    } else if lines.wants(false) {
        lines.yaml(8, "rlimits", "{}");
    }
    for (name, Rlimit { soft, hard }) in &confinement.rlimits {
        let shown = |value: &Option<u64>| value.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
        let (soft, hard) = (shown(soft), shown(hard));
        let both = format!("{{soft: {soft}, hard: {hard}}}");
        lines.yaml(10, name, if soft == hard { &soft } else { &both });
    }
    match confinement.nice {
        Some(nice) => lines.yaml(8, "nice", &nice.to_string()),
        None => remark(lines, "nice: the agent's own"),
    }
    match confinement.oom_score_adj {
        Some(score) => lines.yaml(8, "oom_score_adj", &score.to_string()),
        None => remark(lines, "oom_score_adj: the default of the kernel"),
    }
    match &confinement.capabilities {
        Some(names) => list(lines, 8, "capabilities", names),
        None => remark(lines, "capabilities: those of its user"),
    }
    if lines.wants(confinement.new_privileges) {
        lines.bool(8, "new_privileges", confinement.new_privileges);
    }
    isolate(lines, confinement.isolate);
}

fn isolate(lines: &mut Lines, isolate: Isolate) {
    if !lines.wants(isolate != Isolate::default()) {
        return;
    }
    lines.open(8, "isolate");
    for (key, value) in [("pid", isolate.pid), ("ipc", isolate.ipc), ("mount", isolate.mount)] {
        if lines.wants(value) {
            lines.bool(10, key, value);
        }
    }
    if lines.wants(isolate.network) {
        lines.yaml(10, "network", if isolate.network { "none" } else { "host" });
    }
}
