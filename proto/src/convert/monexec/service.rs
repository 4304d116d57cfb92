//! One service: a program and how it is kept running.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::{Given, Note, duration, environment, key_text};
use crate::jobfile::interpolate;
use crate::jobfile::rules;
use crate::jobfile::yaml::{Mark, Node, Reader, Value, did_you_mean, nearest, pairs, quote, shown};
use crate::model::policy::LEAST_DELAY;
use crate::model::{Backoff, Group, Interval, JobType, OnExhausted, Restart, RestartOn, Task};
use crate::units::{parse_duration, show_duration};

/// What monexec waits before a restart when the file says nothing.
const DEFAULT_DELAY: Duration = Duration::from_secs(6);
/// How long it waits before it kills.
const DEFAULT_STOP: Duration = Duration::from_secs(3);
/// What it stops programs with.
const SIGINT: i32 = 2;

const KEYS: [&str; 11] = [
    "label",
    "command",
    "args",
    "environment",
    "envFiles",
    "workdir",
    "stop_timeout",
    "restart_delay",
    "restart",
    "logFile",
    "raw",
];

/// A service as a task, and the policy of the group that it becomes.
pub(super) struct Service {
    pub at: Mark,
    /// What it is called; after its program where it has no label.
    pub label: String,
    pub is_labelled: bool,
    pub task: Task,
    restart: Restart,
}

impl Service {
    /// Whether it is started again without end.
    pub const fn is_for_life(&self) -> bool {
        self.restart.attempts.is_none()
    }

    /// Makes it the only task of a group, both of this name.
    pub fn into_group(self, name: String) -> Group {
        Group { restart: self.restart, ..Group::new(JobType::Service, BTreeMap::from([(name, self.task)])) }
    }
}

/// The entries of a service that say something.
struct Entries<'n> {
    at: Mark,
    by_key: BTreeMap<&'n str, &'n Node>,
    /// Keys that mean nothing, each with the one that may have been meant.
    unknown: Vec<(&'n Node, Option<&'static str>)>,
}

impl<'n> Entries<'n> {
    fn get(&self, key: &str) -> Option<&'n Node> {
        self.by_key.get(key).copied()
    }

    /// Reads a text that is not empty.
    fn text(&self, reader: &mut Reader<'_>, key: &str) -> Option<&'n str> {
        self.get(key).and_then(|node| reader.text(node, key)).filter(|text| !text.is_empty())
    }

    fn at(&self, key: &str) -> Mark {
        self.get(key).map_or(self.at, |node| node.at)
    }
}

/// Reads a service; it makes sense only if no fault was noted.
pub(super) fn service(
    reader: &mut Reader<'_>,
    node: &Node,
    given: &Given<'_>,
    notes: &mut Vec<Note>,
) -> Service {
    let entries = entries(reader, node, notes);
    let workdir = workdir(reader, &entries, given);
    let command = entries.text(reader, "command").unwrap_or_default();
    let label = entries.text(reader, "label");
    let name =
        || Path::new(command).file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    let mut task = Task::new(program(reader, &entries, command, workdir.as_deref()));
    task.process.args = entries.get("args").map(|node| args(reader, node)).unwrap_or_default();
    task.process.workdir = workdir.as_deref().map(literal);
    let (own, files) = (entries.get("environment"), entries.get("envFiles"));
    task.env = environment::environment(reader, own, files, given, notes);
    task.stop_signal = SIGINT;
    task.stop_timeout = time(reader, &entries, "stop_timeout", Duration::ZERO, notes).unwrap_or(DEFAULT_STOP);
    task.logs.file = log_file(reader, &entries, workdir.as_deref());
    raw(reader, &entries, notes);
    let restart = restart(reader, &entries, notes);
    Service {
        at: node.at,
        label: label.map_or_else(name, str::to_owned),
        is_labelled: label.is_some(),
        task,
        restart,
    }
}

fn entries<'n>(reader: &mut Reader<'_>, node: &'n Node, notes: &mut Vec<Note>) -> Entries<'n> {
    let (mut by_key, mut unknown) = (BTreeMap::new(), Vec::new());
    if matches!(node.value, Value::Null) {
        reader.expected::<()>(node, "a service", "a mapping (`key: value`)", "write `- command: ...`");
    }
    for (key, value) in pairs(reader, node, "a service", "write `- command: ...`") {
        let name = key_text(key);
        if !KEYS.contains(&name) {
            let meant = nearest_key(name);
            let hint = meant.map_or_else(String::new, |word| format!("; {}", did_you_mean(word)));
            let text = format!("{} is no key of a service, and is left out{hint}", quote(name));
            notes.push(Note::new(key.at.line, text));
            unknown.push((key, meant));
        } else if !matches!(value.value, Value::Null) {
            by_key.insert(name, value);
        }
    }
    Entries { at: node.at, by_key, unknown }
}

/// `nearest` compares words of one case.
fn nearest_key(name: &str) -> Option<&'static str> {
    let lower = KEYS.map(str::to_ascii_lowercase);
    let near = nearest(name, lower.iter().map(String::as_str))?;
    KEYS.into_iter().find(|key| key.eq_ignore_ascii_case(near))
}

/// Where the service starts: beside its file unless it says so.
fn workdir(reader: &mut Reader<'_>, entries: &Entries<'_>, given: &Given<'_>) -> Option<String> {
    let base = match given.base.map(Path::to_str) {
        Some(None) => {
            let hint = "move the file to a folder whose path is UTF-8";
            reader.fault(entries.at, "the path of this file is not valid UTF-8", hint);
            return None;
        }
        Some(Some(base)) => Some(base),
        None => None,
    };
    let Some(text) = entries.text(reader, "workdir") else { return base.map(str::to_owned) };
    placed(reader, entries.at("workdir"), "workdir", text, base)
}

/// The program: one with a `/` is looked for where the service starts, any other in PATH.
fn program(reader: &mut Reader<'_>, entries: &Entries<'_>, command: &str, workdir: Option<&str>) -> String {
    let at = entries.at("command");
    if command.trim().is_empty() {
        no_command(reader, entries);
    } else if command.contains("${") {
        let hint = "`command: /usr/bin/env` runs what its `args` say";
        reader.fault(
            at,
            format!("`command` is {}: no program can have `${{` in its name", quote(command)),
            hint,
        );
    } else if command.contains('/') {
        return placed(reader, at, "command", command, workdir).unwrap_or_default();
    }
    command.to_owned()
}

fn no_command(reader: &mut Reader<'_>, entries: &Entries<'_>) {
    let message = "the service has no `command`";
    match entries.unknown.iter().find(|(_, meant)| *meant == Some("command")) {
        Some((typo, _)) => {
            let message = format!("{message}, and {} is no key of a service", quote(key_text(typo)));
            reader.fault(typo.at, message, did_you_mean("command"));
        }
        None => {
            reader.missing(entries.at, message, "name the program: `command: /usr/bin/my-program`");
        }
    }
}

fn log_file(reader: &mut Reader<'_>, entries: &Entries<'_>, workdir: Option<&str>) -> Option<String> {
    let text = entries.text(reader, "logFile")?;
    let at = entries.at("logFile");
    let file = placed(reader, at, "logFile", text, workdir)?;
    let is_plain = interpolate::is_plain(&file);
    let fault = match rules::absolute(&file) {
        Err(fault) => fault,
        Ok(()) if !is_plain => "no path of a log file: it holds `${`",
        Ok(()) => return Some(file),
    };
    reader.fault(at, format!("`logFile` is {}, a path that is {fault}", quote(text)), "name another file");
    None
}

/// Returns an absolute path without detours. Of a file without a place, such as standard input, relative ones mean nothing.
fn placed(reader: &mut Reader<'_>, at: Mark, key: &str, text: &str, base: Option<&str>) -> Option<String> {
    if base.is_none() && !text.starts_with('/') {
        let hint =
            "a relative path is relative to the file, and this one has no place: write an absolute path";
        reader.fault(at, format!("`{key}` is {}, a relative path", quote(text)), hint);
        return None;
    }
    let mut path = PathBuf::from("/");
    for part in Path::new(base.unwrap_or("/")).join(text).components() {
        match part {
            Component::Normal(part) => path.push(part),
            // As monexec has it: the path is made plain before anybody looks for it.
            Component::ParentDir => _ = path.pop(),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(path.to_string_lossy().into_owned())
}

fn raw(reader: &mut Reader<'_>, entries: &Entries<'_>, notes: &mut Vec<Note>) {
    let Some(node) = entries.get("raw") else { return };
    match reader.text(node, "raw").map(str::to_ascii_lowercase).as_deref() {
        Some("true" | "yes" | "on" | "y") => {
            let text = "`raw` is left out: `minijob supervise --raw` prints all output as it is";
            notes.push(Note::new(node.at.line, text));
        }
        Some("false" | "no" | "off" | "n") | None => {}
        Some(_) => _ = reader.expected::<()>(node, "raw", "`true` or `false`", ""),
    }
}

fn restart(reader: &mut Reader<'_>, entries: &Entries<'_>, notes: &mut Vec<Note>) -> Restart {
    let delay = time(reader, entries, "restart_delay", LEAST_DELAY, notes).unwrap_or(DEFAULT_DELAY);
    let attempts =
        entries.get("restart").and_then(|node| reader.whole(node, "restart", -1..=rules::ATTEMPTS_MOST));
    Restart {
        // 0 is what Go has where nothing is written.
        attempts: attempts.filter(|attempts| *attempts > 0).and_then(|attempts| u32::try_from(attempts).ok()),
        interval: Interval::Forever,
        delay,
        backoff: Backoff::Constant,
        max_delay: delay,
        jitter_percent: 0,
        on_exhausted: OnExhausted::Fail,
        on: RestartOn::Any,
    }
}

/// Reads a duration in whole milliseconds, at least `least`; none where monexec takes its default.
fn time(
    reader: &mut Reader<'_>,
    entries: &Entries<'_>,
    key: &str,
    least: Duration,
    notes: &mut Vec<Note>,
) -> Option<Duration> {
    const WHAT: &str = "a duration such as `5s` or `1m30s`";
    let node = entries.get(key)?;
    let Value::Text { text, .. } = &node.value else { return reader.expected(node, key, WHAT, "") };
    let Some(exact) = duration::parse(text) else { return reader.expected(node, key, WHAT, "") };
    // 0 is what Go has where nothing is written.
    if exact.is_zero() {
        return None;
    }
    let rounded = Duration::from_millis(crate::time::millis(exact)).max(least);
    let written = show_duration(rounded);
    if parse_duration(&written).is_err() {
        return reader.expected(node, key, "at most `3650d`, ten years", "");
    }
    if rounded != exact {
        let nanos = if text.parse::<u64>().is_ok() { " (nanoseconds to monexec)" } else { "" };
        let least = if rounded == least { ", the least that there is" } else { "" };
        let text = format!("`{key}` is {}{nanos} and becomes {written}{least}", shown(node));
        notes.push(Note::new(node.at.line, text));
    }
    Some(rounded)
}

fn args(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    let Value::List(items) = &node.value else {
        let hint = "a string with spaces is not split: write `args: [first, second]`";
        return reader.expected(node, "args", "a list of texts", hint).unwrap_or_default();
    };
    let arg = |item: &Node| match item.value {
        Value::Null => Some(String::new()),
        _ => reader.text(item, "args").map(literal),
    };
    items.iter().map(|item| &**item).filter_map(arg).collect()
}

/// monexec fills nothing in: what looks like a name of ours is meant as it stands.
pub(super) fn literal(text: &str) -> String {
    text.replace("${", "$${")
}
