//! A job as its full form.

use std::collections::BTreeMap;

use super::emit::Lines;
use super::signal;
use crate::model::{Backoff, Group, Interval, Job, JobType, OnExhausted, Port, Reschedule, Restart, Task};
use crate::units::{show_cpu, show_duration, show_size};

/// Writes a job, see [`super::explain`].
pub(super) fn explain(job: &Job) -> String {
    let mut lines = Lines::default();
    lines.text(0, "name", &job.key.name);
    lines.text(0, "namespace", &job.key.namespace);
    let kind = match job.kind {
        JobType::Service => "service",
        JobType::Batch => "batch",
    };
    lines.yaml(0, "type", kind);
    lines.yaml(0, "priority", &job.priority.to_string());
    texts(&mut lines, 0, "meta", &job.meta);
    lines.open(0, "groups");
    for (name, group) in &job.groups {
        lines.open(2, name);
        explain_group(&mut lines, group);
    }
    lines.finish()
}

fn explain_group(lines: &mut Lines, group: &Group) {
    lines.yaml(4, "count", &group.count.to_string());
    if group.ports.is_empty() {
        lines.yaml(4, "ports", "{}");
    } else {
        lines.open(4, "ports");
    }
    for (name, port) in &group.ports {
        match port {
            Port::Dynamic => lines.yaml(6, name, "{}"),
            Port::Static(number) => lines.yaml(6, name, &format!("{{static: {number}}}")),
        }
    }
    restart(lines, &group.restart);
    reschedule(lines, &group.reschedule);
    lines.open(4, "tasks");
    for (name, task) in &group.tasks {
        lines.open(6, name);
        explain_task(lines, task);
    }
}

fn restart(lines: &mut Lines, restart: &Restart) {
    lines.open(4, "restart");
    lines.yaml(6, "attempts", &attempts(restart.attempts));
    let interval = match restart.interval {
        Interval::Window(length) => show_duration(length),
        Interval::Forever => "forever".to_owned(),
    };
    lines.yaml(6, "interval", &interval);
    lines.yaml(6, "delay", &show_duration(restart.delay));
    lines.yaml(6, "backoff", backoff(restart.backoff));
    lines.yaml(6, "max_delay", &show_duration(restart.max_delay));
    lines.yaml(6, "jitter", &format!("{}%", restart.jitter_percent));
    let on_exhausted = match restart.on_exhausted {
        OnExhausted::Move => "move",
        OnExhausted::Stay => "stay",
        OnExhausted::Fail => "fail",
    };
    lines.yaml(6, "on_exhausted", on_exhausted);
}

fn reschedule(lines: &mut Lines, reschedule: &Reschedule) {
    lines.open(4, "reschedule");
    lines.yaml(6, "attempts", &attempts(reschedule.attempts));
    lines.yaml(6, "delay", &show_duration(reschedule.delay));
    lines.yaml(6, "backoff", backoff(reschedule.backoff));
    lines.yaml(6, "max_delay", &show_duration(reschedule.max_delay));
}

fn attempts(attempts: Option<u32>) -> String {
    attempts.map_or_else(|| "-1".to_owned(), |number| number.to_string())
}

const fn backoff(backoff: Backoff) -> &'static str {
    match backoff {
        Backoff::Constant => "constant",
        Backoff::Exponential => "exponential",
    }
}

fn explain_task(lines: &mut Lines, task: &Task) {
    lines.text(8, "command", &task.process.command);
    if task.process.args.is_empty() {
        lines.yaml(8, "args", "[]");
    } else {
        lines.open(8, "args");
    }
    for arg in &task.process.args {
        lines.item(10, arg);
    }
    texts(lines, 8, "env", &task.env);
    match &task.process.user {
        Some(user) => lines.text(8, "user", user),
        None => lines.raw(8, "# user: the agent's default user"),
    }
    match &task.process.workdir {
        Some(workdir) => lines.text(8, "workdir", workdir),
        None => lines.raw(8, "# workdir: the task's own directory"),
    }
    lines.open(8, "resources");
    let millis = u32::try_from(task.resources.cpu_millis).unwrap_or(u32::MAX);
    lines.yaml(10, "cpu", &show_cpu(millis));
    lines.yaml(10, "memory", &show_size(task.resources.memory_bytes));
    lines.yaml(8, "stop_signal", &signal::show(task.stop_signal));
    lines.yaml(8, "stop_timeout", &show_duration(task.stop_timeout));
    lines.open(8, "logs");
    lines.yaml(10, "max_files", &task.logs.max_files.to_string());
    lines.yaml(10, "max_file_size", &show_size(task.logs.max_file_bytes));
}

fn texts(lines: &mut Lines, indent: usize, key: &str, texts: &BTreeMap<String, String>) {
    if texts.is_empty() {
        return lines.yaml(indent, key, "{}");
    }
    lines.open(indent, key);
    for (name, text) in texts {
        lines.text(indent + 2, name, text);
    }
}
