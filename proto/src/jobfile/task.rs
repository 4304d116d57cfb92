//! A task: its program, and all that the program is given.

use std::collections::BTreeMap;
use std::time::Duration;

use super::keys::Level;
use super::names::Scope;
use super::reader::{Reader, quote, shown};
use super::signal;
use super::table::{Table, pairs};
use super::tree::{Node, Value};
use crate::limits;
use crate::model::{LogPolicy, Process, Resources, Task};

/// Characters of the name of an environment variable or an entry of `meta`: also what YAML allows a key.
pub(super) const KEY_CHARS: usize = 255;
/// The least that a log file can hold: smaller ones would rotate with every few lines.
const LOG_FILE_LEAST: u64 = 4096;

/// Reads a task out of a table that may hold other levels' keys, too.
pub(super) fn task(reader: &mut Reader<'_>, table: &Table<'_>, scope: &Scope<'_>) -> Task {
    let process = Process {
        command: command(reader, table),
        args: table.get("args").map(|node| args(reader, node, scope)).unwrap_or_default(),
        user: table.get("user").and_then(|node| user(reader, node)),
        workdir: table.get("workdir").and_then(|node| workdir(reader, node, scope)),
    };
    let stop_signal = table.get("stop_signal").and_then(|node| signal::signal(reader, node, "stop_signal"));
    let stop_timeout =
        table.get("stop_timeout").and_then(|node| reader.duration(node, "stop_timeout", Duration::ZERO));
    Task {
        process,
        env: table.get("env").map(|node| env(reader, node, scope)).unwrap_or_default(),
        resources: table.get("resources").map_or(Task::DEFAULT_RESOURCES, |node| resources(reader, node)),
        stop_signal: stop_signal.unwrap_or(Task::DEFAULT_STOP_SIGNAL),
        stop_timeout: stop_timeout.unwrap_or(Task::DEFAULT_STOP_TIMEOUT),
        logs: table.get("logs").map(|node| logs(reader, node)).unwrap_or_default(),
        ..Task::new("")
    }
}

fn command(reader: &mut Reader<'_>, table: &Table<'_>) -> String {
    let Some(node) = table.get("command") else {
        if !["image", "tasks", "groups"].iter().any(|other| table.refused(other)) {
            let hint = "name the program to run: `command: /usr/bin/my-program`";
            table.lacks(reader, "command", "`command` is missing", hint);
        }
        return String::new();
    };
    if let Value::List(items) = &node.value {
        let program = items.first().map_or_else(|| "`PROGRAM`".into(), |item| shown(item));
        let hint = format!("write {program} alone as `command`, and the rest as a list under `args`");
        return reader.expected(node, "command", "one program", &hint).unwrap_or_default();
    }
    let Some(text) = reader.text(node, "command") else { return String::new() };
    if text.trim().is_empty() {
        reader.fault(node.at, "`command` is empty", "name the program to run");
    } else if text.contains("${") {
        let hint =
            "`${...}` works in `args`, `env` and `workdir`; `command: /usr/bin/env` runs what its `args` say";
        reader.fault_within(node, "${", "`command` is taken as it is written, without `${...}`", hint);
    } else if let Some((program, rest)) = split_command(text) {
        let message = format!("`command` is {}, expected the name of one program", quote(text));
        // What stands in quotes may hold spaces; how far it goes is the author's to say.
        let simple = rest.split_whitespace().take_while(|word| !word.contains(['"', '\'']));
        let mut args: Vec<&str> = simple.take(6).collect();
        if args.len() < rest.split_whitespace().count() {
            args.push("...");
        }
        let hint = format!(
            "a string with spaces is not split: arguments go to `args`; write `command: {program}` and `args: [{}]`",
            args.join(", ")
        );
        reader.fault(node.at, message, hint);
    } else if text.contains('/') {
        return absolute(reader, node, "command", text);
    }
    text.to_owned()
}

/// Returns program and arguments of a command that is surely a whole command line: a name with spaces, or a path before an option.
fn split_command(text: &str) -> Option<(&str, &str)> {
    let (program, rest) = text.split_once(char::is_whitespace)?;
    let is_path = text.contains('/') && program.contains('/');
    let has_options = rest.split_whitespace().any(|word| word.starts_with('-'));
    (!is_path || has_options).then_some((program, rest))
}

/// Returns a path as absolute: relative ones are relative to the file.
fn absolute(reader: &mut Reader<'_>, node: &Node, key: &str, text: &str) -> String {
    if text.starts_with('/') {
        return text.to_owned();
    }
    let Some(base) = reader.base else {
        let hint =
            "a relative path is relative to the job file, and this one has no place: write an absolute path";
        reader.fault(node.at, format!("`{key}` is {}, a relative path", quote(text)), hint);
        return text.to_owned();
    };
    let joined: std::path::PathBuf = base.join(text).components().collect();
    let Some(path) = joined.to_str() else {
        let hint = "the path of the job file is not valid UTF-8: write an absolute path";
        reader.fault(node.at, format!("`{key}` is {}, a relative path", quote(text)), hint);
        return text.to_owned();
    };
    path.to_owned()
}

fn args(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>) -> Vec<String> {
    let items = match &node.value {
        Value::List(items) => items,
        Value::Null => return Vec::new(),
        Value::Text { text, .. } => {
            let hint = match text.split_whitespace().count() {
                0 | 1 => format!("write `args: [{}]`", quote(text).trim_matches('`')),
                _ => "a string with spaces is not split: write `args: [first, second]`".to_owned(),
            };
            return reader.expected(node, "args", "a list", &hint).unwrap_or_default();
        }
        Value::Map(_) => return reader.expected(node, "args", "a list", "").unwrap_or_default(),
    };
    if items.len() > limits::ARGS_PER_TASK {
        let message = format!("{} arguments, at most {} for a task", items.len(), limits::ARGS_PER_TASK);
        reader.fault(node.at, message, "");
        return Vec::new();
    }
    let mut args = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = reader.text(item, "args") else { continue };
        scope.check(reader, item, text);
        args.push(text.to_owned());
    }
    args
}

fn env(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>) -> BTreeMap<String, String> {
    let entries = pairs(reader, node, "env", "write `env: {NAME: value}`");
    if entries.len() > limits::ENV_PER_TASK {
        let message = format!("{} variables, at most {} for a task", entries.len(), limits::ENV_PER_TASK);
        reader.fault(node.at, message, "");
        return BTreeMap::new();
    }
    let mut env = BTreeMap::new();
    for (key, value) in entries {
        let Some(name) = reader.text(key, "env") else { continue };
        if !is_key(name) {
            let hint = "letters, digits, `_`, `-` and `.`, not a digit first, at most 255 characters";
            reader.fault(key.at, format!("{} is not a name of a variable", quote(name)), hint);
        } else if is_fact(name) {
            let hint = "choose another name";
            reader.fault(key.at, format!("{} is set by minijob itself", quote(name)), hint);
        }
        let Some(text) = reader.text(value, name) else { continue };
        scope.check(reader, value, text);
        env.insert(name.to_owned(), text.to_owned());
    }
    env
}

/// Returns whether a text can name an environment variable or an entry of `meta`.
pub(super) fn is_key(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let other = |c: char| first(c) || c.is_ascii_digit() || c == '-' || c == '.';
    text.len() <= KEY_CHARS && text.starts_with(first) && text.chars().all(other)
}

/// Returns whether the agent gives every task a variable of this name; one from the file would be lost without a word.
pub(super) fn is_fact(name: &str) -> bool {
    const FACTS: [&str; 11] = [
        "JOB",
        "GROUP",
        "TASK",
        "ALLOC_ID",
        "ALLOC_INDEX",
        "ALLOC_DIR",
        "TASK_DIR",
        "NODE_NAME",
        "NODE_ADDRESS",
        "CPU_MILLIS",
        "MEMORY_BYTES",
    ];
    const FAMILIES: [&str; 4] = ["PORT_", "HOST_PORT_", "ADDR_", "META_"];
    let Some(fact) = name.strip_prefix("MINIJOB_") else { return false };
    FACTS.contains(&fact) || FAMILIES.iter().any(|family| fact.starts_with(family))
}

fn user(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "user")?;
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != ':' && c != '$';
    if text.is_empty() || text.len() > KEY_CHARS || !text.chars().all(fits) {
        return reader.expected(node, "user", "the name or number of one user", "");
    }
    Some(text.to_owned())
}

fn workdir(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>) -> Option<String> {
    let text = reader.text(node, "workdir")?;
    if text.is_empty() {
        return reader.expected(node, "workdir", "a directory", "leave it out for the task's own directory");
    }
    scope.check(reader, node, text);
    // What begins with a name is whole only when the task starts.
    Some(if text.starts_with("${") { text.to_owned() } else { absolute(reader, node, "workdir", text) })
}

fn resources(reader: &mut Reader<'_>, node: &Node) -> Resources {
    let table = Table::read(reader, node, &[Level::Resources], "resources");
    let Resources { cpu_millis, memory_bytes } = Task::DEFAULT_RESOURCES;
    let cpu = table.get("cpu").and_then(|node| reader.cpu(node, "cpu"));
    let memory = table.get("memory").and_then(|node| reader.size(node, "memory", 1));
    Resources { cpu_millis: cpu.map_or(cpu_millis, u64::from), memory_bytes: memory.unwrap_or(memory_bytes) }
}

fn logs(reader: &mut Reader<'_>, node: &Node) -> LogPolicy {
    let table = Table::read(reader, node, &[Level::Logs], "logs");
    let default = LogPolicy::default();
    let files = table.get("max_files").and_then(|node| reader.whole(node, "max_files", 1..=1000));
    let size = table.get("max_file_size").and_then(|node| reader.size(node, "max_file_size", LOG_FILE_LEAST));
    LogPolicy {
        max_files: files.map_or(default.max_files, |files| files as u32),
        max_file_bytes: size.unwrap_or(default.max_file_bytes),
        ..default
    }
}
