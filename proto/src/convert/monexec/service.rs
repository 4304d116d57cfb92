//! One service: a program and how it is kept running.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Needs, Note, duration, key_text};
use crate::jobfile::yaml::{Node, Reader, Value, did_you_mean, nearest, pairs, quote};
use crate::limits;
use crate::model::policy::LEAST_DELAY;
use crate::model::{Backoff, Group, Interval, JobType, OnExhausted, Restart, RestartOn, Task};

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
    pub line: u32,
    pub label: String,
    pub task: Task,
    restart: Restart,
}

impl Service {
    /// Makes it the only task of a group, both of this name.
    pub fn into_group(self, name: String) -> Group {
        Group { restart: self.restart, ..Group::new(JobType::Service, BTreeMap::from([(name, self.task)])) }
    }
}

/// Reads a service; it makes sense only if no fault was noted.
pub(super) fn service(
    reader: &mut Reader<'_>,
    node: &Node,
    needs: &Needs<'_>,
    notes: &mut Vec<Note>,
) -> Service {
    let entries = pairs(reader, node, "a service", "write `- command: ...`");
    let mut unknown: Vec<(&Node, &str)> = entries.iter().map(|(key, _)| (*key, key_text(key))).collect();
    unknown.retain(|(_, key)| !KEYS.contains(key));
    for (key, name) in unknown {
        let hint = nearest(name, KEYS.into_iter())
            .map_or_else(String::new, |word| format!("; {}", did_you_mean(word)));
        let text = format!("{} is no key of a service, and is left out{hint}", quote(name));
        notes.push(Note { line: key.at.line, text });
    }
    let get = |name: &str| entries.iter().find(|(key, _)| key_text(key) == name).map(|(_, value)| *value);
    let text = |reader: &mut Reader<'_>, name: &str| {
        get(name).and_then(|node| reader.text(node, name)).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let command = text(reader, "command").unwrap_or_default();
    if command.is_empty() {
        reader.missing(
            node.at,
            "the service has no `command`",
            "name the program: `command: /usr/bin/my-program`",
        );
    }
    let workdir = text(reader, "workdir").map(PathBuf::from);
    let workdir = match (workdir, needs.base) {
        (Some(workdir), Some(base)) => Some(base.join(workdir)),
        (workdir, base) => workdir.or_else(|| base.map(Path::to_path_buf)),
    };
    let mut task = Task::new(placed(&command, needs.base));
    task.process.args = get("args").map(|node| args(reader, node)).unwrap_or_default();
    task.process.workdir = workdir.as_deref().map(|workdir| literal(&workdir.to_string_lossy()));
    task.env = environment(reader, get("environment"), get("envFiles"), needs, notes);
    task.stop_signal = SIGINT;
    task.stop_timeout = time(reader, get("stop_timeout"), "stop_timeout", DEFAULT_STOP);
    task.logs.file = text(reader, "logFile").map(|file| match &workdir {
        Some(workdir) => workdir.join(file).to_string_lossy().into_owned(),
        None => file,
    });
    if let Some(raw) =
        get("raw").filter(|node| matches!(&node.value, Value::Text { text, .. } if text == "true"))
    {
        let text = "`raw` is left out: `minijob supervise --raw` prints all output as it is".to_owned();
        notes.push(Note { line: raw.at.line, text });
    }
    let label = text(reader, "label").unwrap_or_else(|| {
        Path::new(&command).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    });
    let delay = time(reader, get("restart_delay"), "restart_delay", DEFAULT_DELAY).max(LEAST_DELAY);
    let attempts = get("restart").and_then(|node| reader.whole(node, "restart", -1..=i64::from(u32::MAX)));
    let restart = Restart {
        // 0 is what Go has where nothing is written.
        attempts: attempts.filter(|attempts| *attempts > 0).and_then(|attempts| u32::try_from(attempts).ok()),
        interval: Interval::Forever,
        delay,
        backoff: Backoff::Constant,
        max_delay: delay,
        jitter_percent: 0,
        on_exhausted: OnExhausted::Fail,
        on: RestartOn::Any,
    };
    Service { line: node.at.line, label, task, restart }
}

fn time(reader: &mut Reader<'_>, node: Option<&Node>, key: &str, default: Duration) -> Duration {
    let Some(node) = node else { return default };
    let Value::Text { text, .. } = &node.value else {
        return reader.expected(node, key, "a duration such as `5s`", "").unwrap_or(default);
    };
    match duration::parse(text) {
        // 0 is what Go has where nothing is written.
        Some(duration) if duration.is_zero() => default,
        Some(duration) => duration,
        None => reader.expected(node, key, "a duration such as `5s` or `1m30s`", "").unwrap_or(default),
    }
}

fn args(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    let Value::List(items) = &node.value else {
        return reader.expected(node, "args", "a list of texts", "").unwrap_or_default();
    };
    items.iter().filter_map(|item| reader.text(item, "args")).map(literal).collect()
}

/// The variables of a service: those of its files win over its own, a later file over an earlier.
fn environment(
    reader: &mut Reader<'_>,
    own: Option<&Node>,
    files: Option<&Node>,
    needs: &Needs<'_>,
    notes: &mut Vec<Note>,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let own = own.map(|node| pairs(reader, node, "environment", "write `environment: {KEY: value}`"));
    for (key, value) in own.into_iter().flatten() {
        let name = key_text(key);
        if let Some(text) = is_variable(name).then(|| reader.text(value, name)).flatten() {
            env.insert(name.to_owned(), literal(text));
        }
    }
    let Some(files) = files else { return env };
    let Value::List(items) = &files.value else {
        reader.expected::<()>(files, "envFiles", "a list of paths", "");
        return env;
    };
    for item in items {
        let Some(path) = reader.text(item, "envFiles") else { continue };
        let full = needs.base.map_or_else(|| PathBuf::from(path), |base| base.join(path));
        match (needs.read)(&full) {
            Some(text) => env.extend(variables(&text)),
            None => notes.push(Note {
                line: item.at.line,
                text: format!("{} cannot be read, and is left out", quote(path)),
            }),
        }
        if env.len() > limits::ENV_PER_TASK {
            let message = format!("{} variables, at most {}", env.len(), limits::ENV_PER_TASK);
            reader.fault(item.at, message, "");
            return env;
        }
    }
    env
}

/// Reads an environment file as monexec does: everything behind the first `=`, quotes included; what has none is left out.
fn variables(text: &str) -> impl Iterator<Item = (String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.filter(|(name, _)| is_variable(name)).map(|(name, value)| (name.to_owned(), literal(value)))
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// A program beside the file is one beside the file, whoever starts it.
fn placed(command: &str, base: Option<&Path>) -> String {
    match base {
        Some(base) if command.contains('/') => base.join(command).to_string_lossy().into_owned(),
        _ => command.to_owned(),
    }
}

/// monexec fills nothing in: what looks like a name of ours is meant as it stands.
fn literal(text: &str) -> String {
    text.replace("${", "$${")
}
