//! A job as its full form.

mod task; // its tasks

use std::collections::BTreeMap;

use super::emit::Lines;
use crate::model::{
    Backoff, Group, Interval, Job, JobType, OnExhausted, Port, Reschedule, Restart, RestartOn, Volume,
    VolumeSource,
};
use crate::units::show_duration;

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
    volumes(lines, &group.volumes);
    let max_run = group.max_run.map_or_else(|| "none".to_owned(), show_duration);
    lines.yaml(4, "max_run", &max_run);
    restart(lines, &group.restart);
    reschedule(lines, &group.reschedule);
    lines.open(4, "tasks");
    for (name, task) in &group.tasks {
        lines.open(6, name);
        task::explain(lines, task);
    }
}

fn volumes(lines: &mut Lines, volumes: &BTreeMap<String, Volume>) {
    if volumes.is_empty() {
        return lines.yaml(4, "volumes", "{}");
    }
    lines.open(4, "volumes");
    for (name, volume) in volumes {
        lines.open(6, name);
        match &volume.source {
            VolumeSource::Host(host) => lines.text(8, "host", host),
            VolumeSource::Path(path) => lines.text(8, "path", path),
        }
        lines.bool(8, "read_only", volume.read_only);
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
    let on = match restart.on {
        RestartOn::Any => "any",
        RestartOn::Failure => "failure",
        RestartOn::Never => "never",
    };
    // Not in quotes: since YAML 1.2 it is no word for true.
    lines.raw(6, &format!("on: {on}"));
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

fn texts(lines: &mut Lines, indent: usize, key: &str, texts: &BTreeMap<String, String>) {
    if texts.is_empty() {
        return lines.yaml(indent, key, "{}");
    }
    lines.open(indent, key);
    for (name, text) in texts {
        lines.text(indent + 2, name, text);
    }
}
