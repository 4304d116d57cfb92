//! A task in the full form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::super::emit::Lines;
use super::super::{signal, variables};
use super::texts;
use crate::model::{Confinement, Lifecycle, LogPolicy, Mount, NodeEnvFile, Rlimit, Task, TaskFile};
use crate::units::{show_cpu, show_duration, show_size};

/// Writes a task.
pub(super) fn explain(lines: &mut Lines, task: &Task) {
    lines.text(8, "command", &task.process.command);
    list(lines, 8, "args", &task.process.args);
    texts(lines, 8, "env", &task.env);
    env_files(lines, &task.env_files);
    files(lines, &task.files);
    match &task.process.user {
        Some(user) => lines.text(8, "user", user),
        None => lines.raw(8, "# user: the agent's default user"),
    }
    match &task.process.workdir {
        Some(workdir) => lines.text(8, "workdir", workdir),
        None => lines.raw(8, "# workdir: the task's own directory"),
    }
    resources(lines, task);
    mounts(lines, &task.mounts);
    lifecycle(lines, task.lifecycle);
    lines.bool(8, "critical", task.critical);
    lines.yaml(8, "stop_signal", &signal::show(task.stop_signal));
    lines.yaml(8, "stop_timeout", &show_duration(task.stop_timeout));
    logs(lines, &task.logs);
    confinement(lines, &task.confinement);
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
    if files.is_empty() {
        return lines.yaml(8, "env_files", "[]");
    }
    lines.open(8, "env_files");
    for file in files {
        lines.first_text(10, "path", &file.path);
        lines.bool(12, "on_node", true);
        lines.bool(12, "optional", file.optional);
    }
}

fn files(lines: &mut Lines, files: &[TaskFile]) {
    if files.is_empty() {
        return lines.yaml(8, "files", "[]");
    }
    lines.open(8, "files");
    for file in files {
        lines.first_text(10, "to", &file.to);
        lines.yaml(12, "mode", &format!("0{:03o}", file.mode));
        match std::str::from_utf8(&file.content) {
            Ok(text) if !text.contains('\0') => lines.text(12, "content", &variables::escaped(text)),
            _ => lines.text(12, "base64", &BASE64.encode(&file.content)),
        }
    }
}

fn resources(lines: &mut Lines, task: &Task) {
    let none = || "none".to_owned();
    let cpu = |millis: u64| show_cpu(u32::try_from(millis).unwrap_or(u32::MAX));
    lines.open(8, "resources");
    lines.yaml(10, "cpu", &cpu(task.resources.cpu_millis));
    lines.yaml(10, "memory", &show_size(task.resources.memory_bytes));
    lines.yaml(10, "cpu_limit", &task.limits.cpu_millis.map_or_else(none, cpu));
    lines.yaml(10, "memory_limit", &task.limits.memory_bytes.map_or_else(none, show_size));
    lines.yaml(10, "pids", &task.limits.pids.map_or_else(none, |pids| pids.to_string()));
}

fn mounts(lines: &mut Lines, mounts: &[Mount]) {
    if mounts.is_empty() {
        return lines.yaml(8, "mounts", "[]");
    }
    lines.open(8, "mounts");
    for mount in mounts {
        lines.first_text(10, "volume", &mount.volume);
        lines.text(12, "to", &mount.to);
        lines.bool(12, "read_only", mount.read_only);
    }
}

fn lifecycle(lines: &mut Lines, lifecycle: Lifecycle) {
    let (hook, sidecar) = match lifecycle {
        Lifecycle::Main => return lines.yaml(8, "lifecycle", "main"),
        Lifecycle::Prestart { sidecar } => ("prestart", sidecar),
        Lifecycle::Poststart { sidecar } => ("poststart", sidecar),
        Lifecycle::Poststop => ("poststop", false),
    };
    lines.yaml(8, "lifecycle", &format!("{{hook: {hook}, sidecar: {sidecar}}}"));
}

fn logs(lines: &mut Lines, logs: &LogPolicy) {
    lines.open(8, "logs");
    lines.yaml(10, "max_files", &logs.max_files.to_string());
    lines.yaml(10, "max_file_size", &show_size(logs.max_file_bytes));
    lines.yaml(10, "retain", &show_duration(logs.retain));
    match &logs.file {
        Some(file) => lines.text(10, "file", file),
        None => lines.yaml(10, "file", "none"),
    }
    lines.yaml(10, "to", if logs.journald { "journald" } else { "none" });
}

fn confinement(lines: &mut Lines, confinement: &Confinement) {
    if confinement.rlimits.is_empty() {
        lines.yaml(8, "rlimits", "{}");
    } else {
        lines.open(8, "rlimits");
    }
    for (name, Rlimit { soft, hard }) in &confinement.rlimits {
        let shown = |value: &Option<u64>| value.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
        let (soft, hard) = (shown(soft), shown(hard));
        let both = format!("{{soft: {soft}, hard: {hard}}}");
        lines.yaml(10, name, if soft == hard { &soft } else { &both });
    }
    match confinement.nice {
        Some(nice) => lines.yaml(8, "nice", &nice.to_string()),
        None => lines.raw(8, "# nice: the agent's own"),
    }
    match confinement.oom_score_adj {
        Some(score) => lines.yaml(8, "oom_score_adj", &score.to_string()),
        None => lines.raw(8, "# oom_score_adj: the default of the kernel"),
    }
    match &confinement.capabilities {
        Some(names) => list(lines, 8, "capabilities", names),
        None => lines.raw(8, "# capabilities: those of its user"),
    }
    lines.bool(8, "new_privileges", confinement.new_privileges);
    let isolate = confinement.isolate;
    lines.open(8, "isolate");
    lines.bool(10, "pid", isolate.pid);
    lines.bool(10, "ipc", isolate.ipc);
    lines.bool(10, "mount", isolate.mount);
    lines.yaml(10, "network", if isolate.network { "none" } else { "host" });
}
