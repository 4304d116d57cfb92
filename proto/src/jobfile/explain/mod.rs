//! A job as a job file: its full form, or the shortest that says the same.

mod depends; // what it waits for
mod placement; // where it may run
mod task; // its tasks

use std::collections::BTreeMap;

use super::emit::Lines;
use super::restart::{default_reschedule, default_restart};
use crate::model::{
    Backoff, DEFAULT_NAMESPACE, DEFAULT_PRIORITY, Group, Interval, Job, JobType, Migrate, OnExhausted, Port,
    Reschedule, Restart, RestartOn, Volume, VolumeSource,
};
use crate::units::show_duration;

/// Writes a job, see [`super::explain`].
pub(super) fn explain(job: &Job) -> String {
    let mut lines = Lines::default();
    head(&mut lines, job);
    groups(&mut lines, job);
    lines.finish()
}

/// Writes a job, see [`super::brief`].
pub(super) fn brief(job: &Job) -> String {
    let mut lines = Lines::brief();
    head(&mut lines, job);
    let only = job.groups.get(&job.key.name).filter(|group| job.groups.len() == 1 && group.kind == job.kind);
    let Some(group) = only else {
        groups(&mut lines, job);
        return lines.finish();
    };
    lines.outdent(4);
    match group.tasks.get(&job.key.name).filter(|_| group.tasks.len() == 1) {
        Some(task) => {
            count(&mut lines, group);
            lines.outdent(8);
            task::explain(&mut lines, task);
            lines.outdent(4);
            shared(&mut lines, group);
        }
        None => whole(&mut lines, group),
    }
    lines.finish()
}

fn head(lines: &mut Lines, job: &Job) {
    lines.text(0, "name", &job.key.name);
    if lines.wants(job.key.namespace != DEFAULT_NAMESPACE) {
        lines.text(0, "namespace", &job.key.namespace);
    }
    if lines.wants(job.kind != JobType::Service) {
        lines.yaml(0, "type", job.kind.word());
    }
    if lines.wants(job.priority != DEFAULT_PRIORITY) {
        lines.yaml(0, "priority", &job.priority.to_string());
    }
    texts(lines, 0, "meta", &job.meta);
}

fn groups(lines: &mut Lines, job: &Job) {
    lines.open(0, "groups");
    for (name, group) in &job.groups {
        lines.open(2, name);
        if lines.wants(group.kind != job.kind) {
            lines.yaml(4, "type", group.kind.word());
        }
        whole(lines, group);
    }
}

fn whole(lines: &mut Lines, group: &Group) {
    count(lines, group);
    shared(lines, group);
    lines.open(4, "tasks");
    for (name, task) in &group.tasks {
        lines.open(6, name);
        task::explain(lines, task);
    }
}

fn count(lines: &mut Lines, group: &Group) {
    if !group.kind.is_per_node() && lines.wants(group.count != 1) {
        lines.yaml(4, "count", &group.count.to_string());
    }
}

/// What the tasks of a group share.
fn shared(lines: &mut Lines, group: &Group) {
    if !group.ports.is_empty() {
        lines.open(4, "ports");
    } else if lines.wants(false) {
        lines.yaml(4, "ports", "{}");
    }
    for (name, port) in &group.ports {
        match port {
            Port::Dynamic => lines.yaml(6, name, "{}"),
            Port::Static(number) => lines.yaml(6, name, &format!("{{static: {number}}}")),
        }
    }
    volumes(lines, &group.volumes);
    let max_run = group.max_run.map_or_else(|| "none".to_owned(), show_duration);
    if lines.wants(group.max_run.is_some()) {
        lines.yaml(4, "max_run", &max_run);
    }
    placement::explain(lines, &group.placement);
    depends::explain(lines, &group.depends_on);
    restart(lines, &group.restart, &default_restart(group.kind));
    reschedule(lines, &group.reschedule, &default_reschedule(group.kind));
    migrate(lines, &group.migrate, &Migrate::default());
    if lines.wants(group.stop_after.is_some()) {
        lines.open(4, "disconnect");
        lines.yaml(6, "stop_after", &group.stop_after.map_or_else(|| "none".to_owned(), show_duration));
    }
    if lines.wants(group.singleton) {
        lines.bool(4, "singleton", group.singleton);
    }
}

fn volumes(lines: &mut Lines, volumes: &BTreeMap<String, Volume>) {
    if volumes.is_empty() {
        if lines.wants(false) {
            lines.yaml(4, "volumes", "{}");
        }
        return;
    }
    lines.open(4, "volumes");
    for (name, volume) in volumes {
        lines.open(6, name);
        match &volume.source {
            VolumeSource::Host(host) => lines.text(8, "host", host),
            VolumeSource::Path(path) => lines.text(8, "path", path),
        }
        if lines.wants(volume.read_only) {
            lines.bool(8, "read_only", volume.read_only);
        }
    }
}

fn restart(lines: &mut Lines, restart: &Restart, usual: &Restart) {
    if !lines.wants(restart != usual) {
        return;
    }
    lines.open(4, "restart");
    if lines.wants(restart.attempts != usual.attempts) {
        lines.yaml(6, "attempts", &attempts(restart.attempts));
    }
    let interval = match restart.interval {
        Interval::Window(length) => show_duration(length),
        Interval::Forever => "forever".to_owned(),
    };
    if lines.wants(restart.interval != usual.interval) {
        lines.yaml(6, "interval", &interval);
    }
    if lines.wants(restart.delay != usual.delay) {
        lines.yaml(6, "delay", &show_duration(restart.delay));
    }
    if lines.wants(restart.backoff != usual.backoff) {
        lines.yaml(6, "backoff", backoff(restart.backoff));
    }
    // One that is not written is raised to the delay.
    if lines.wants(restart.max_delay != usual.max_delay.max(restart.delay)) {
        lines.yaml(6, "max_delay", &show_duration(restart.max_delay));
    }
    if lines.wants(restart.jitter_percent != usual.jitter_percent) {
        lines.yaml(6, "jitter", &format!("{}%", restart.jitter_percent));
    }
    if lines.wants(restart.on_exhausted != usual.on_exhausted) {
        lines.yaml(6, "on_exhausted", on_exhausted(restart.on_exhausted));
    }
    if lines.wants(restart.on != usual.on) {
        // Not in quotes: since YAML 1.2 it is no word for true.
        lines.raw(6, &format!("on: {}", on(restart.on)));
    }
}

const fn on_exhausted(then: OnExhausted) -> &'static str {
    match then {
        OnExhausted::Move => "move",
        OnExhausted::Stay => "stay",
        OnExhausted::Fail => "fail",
    }
}

const fn on(on: RestartOn) -> &'static str {
    match on {
        RestartOn::Any => "any",
        RestartOn::Failure => "failure",
        RestartOn::Never => "never",
    }
}

fn reschedule(lines: &mut Lines, reschedule: &Reschedule, usual: &Reschedule) {
    if !lines.wants(reschedule != usual) {
        return;
    }
    lines.open(4, "reschedule");
    if lines.wants(reschedule.attempts != usual.attempts) {
        lines.yaml(6, "attempts", &attempts(reschedule.attempts));
    }
    if lines.wants(reschedule.delay != usual.delay) {
        lines.yaml(6, "delay", &show_duration(reschedule.delay));
    }
    if lines.wants(reschedule.backoff != usual.backoff) {
        lines.yaml(6, "backoff", backoff(reschedule.backoff));
    }
    if lines.wants(reschedule.max_delay != usual.max_delay.max(reschedule.delay)) {
        lines.yaml(6, "max_delay", &show_duration(reschedule.max_delay));
    }
}

fn migrate(lines: &mut Lines, migrate: &Migrate, usual: &Migrate) {
    if !lines.wants(migrate != usual) {
        return;
    }
    lines.open(4, "migrate");
    if lines.wants(migrate.max_parallel != usual.max_parallel) {
        lines.yaml(6, "max_parallel", &migrate.max_parallel.to_string());
    }
    if lines.wants(migrate.min_healthy_time != usual.min_healthy_time) {
        lines.yaml(6, "min_healthy_time", &show_duration(migrate.min_healthy_time));
    }
    if lines.wants(migrate.healthy_deadline != usual.healthy_deadline) {
        lines.yaml(6, "healthy_deadline", &show_duration(migrate.healthy_deadline));
    }
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
        if lines.wants(false) {
            lines.yaml(indent, key, "{}");
        }
        return;
    }
    lines.open(indent, key);
    for (name, text) in texts {
        lines.text(indent + 2, name, text);
    }
}
