//! A task: its program, and all that the program is given.

use std::collections::BTreeMap;
use std::time::Duration;

use super::keys::Level;
use super::names::{Env, Scope};
use super::reader::{Reader, quote, shown};
use super::table::{Table, pairs};
use super::tree::{Node, Value};
use super::{confine, files, logs, paths, rules, signal};
use crate::limits;
use crate::model::{Lifecycle, Limits, Process, Task, Volume};

/// Reads a task out of a table that may hold other levels' keys, too.
pub(super) fn task(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    scope: &Scope<'_>,
    volumes: &BTreeMap<String, Volume>,
) -> Task {
    let env_files =
        table.get("env_files").map(|node| files::env_files(reader, node, scope)).unwrap_or_default();
    let env = env(reader, table, scope, &env_files);
    let known = Env { own: Some(&env), files: None, on_node: !env_files.on_node.is_empty() };
    let process = Process {
        command: command(reader, table),
        args: table.get("args").map(|node| args(reader, node, scope, &known)).unwrap_or_default(),
        user: table.get("user").and_then(|node| user(reader, node)),
        workdir: table.get("workdir").and_then(|node| workdir(reader, node, scope, &known)),
    };
    let logs = table.get("logs").map(|node| logs::logs(reader, node, scope, &known)).unwrap_or_default();
    let stop_signal = table.get("stop_signal").and_then(|node| signal::signal(reader, node, "stop_signal"));
    let stop_timeout =
        table.get("stop_timeout").and_then(|node| reader.duration(node, "stop_timeout", Duration::ZERO));
    let resources = table.get("resources").map(|node| confine::resources(reader, node));
    let (resources, limits) = resources.unwrap_or((Task::DEFAULT_RESOURCES, Limits::default()));
    Task {
        process,
        env,
        resources,
        stop_signal: stop_signal.unwrap_or(Task::DEFAULT_STOP_SIGNAL),
        stop_timeout: stop_timeout.unwrap_or(Task::DEFAULT_STOP_TIMEOUT),
        logs,
        lifecycle: table.get("lifecycle").and_then(|node| lifecycle(reader, node)).unwrap_or_default(),
        critical: table.get("critical").and_then(|node| reader.bool(node, "critical")).unwrap_or(false),
        limits,
        files: table.get("files").map(|node| files::files(reader, node)).unwrap_or_default(),
        env_files: env_files.on_node,
        mounts: table.get("mounts").map(|node| files::mounts(reader, node, volumes)).unwrap_or_default(),
        confinement: confine::confinement(reader, table),
    }
}

fn lifecycle(reader: &mut Reader<'_>, node: &Node) -> Option<Lifecycle> {
    const HOOKS: [(&str, Lifecycle); 4] = [
        ("main", Lifecycle::Main),
        ("prestart", Lifecycle::Prestart { sidecar: false }),
        ("poststart", Lifecycle::Poststart { sidecar: false }),
        ("poststop", Lifecycle::Poststop),
    ];
    if let Value::Text { text, .. } = &node.value {
        let named = HOOKS.iter().any(|(word, _)| word == text);
        return match text.as_str() {
            "main" => Some(Lifecycle::Main),
            _ if named => {
                let hint = format!("write `lifecycle: {{hook: {text}}}`");
                reader.expected(node, "lifecycle", "`main` or a mapping", &hint)
            }
            _ => reader.expected(node, "lifecycle", "`main` or a mapping", "for example `{hook: prestart}`"),
        };
    }
    let table = Table::read(reader, node, &[Level::Lifecycle], "lifecycle");
    let sidecar = table.get("sidecar").and_then(|node| reader.bool(node, "sidecar")).unwrap_or(false);
    let hook = match table.get("hook") {
        Some(node) => reader.word(node, "hook", &HOOKS)?,
        None if sidecar => {
            let hint =
                "a sidecar begins before the main tasks (`hook: prestart`) or after them (`hook: poststart`)";
            table.lacks(reader, "hook", "`lifecycle` has no `hook`", hint);
            return None;
        }
        None => Lifecycle::Main,
    };
    match hook {
        Lifecycle::Prestart { .. } => Some(Lifecycle::Prestart { sidecar }),
        Lifecycle::Poststart { .. } => Some(Lifecycle::Poststart { sidecar }),
        Lifecycle::Main | Lifecycle::Poststop if sidecar => {
            let message = "only a `prestart` or `poststart` task can be a sidecar";
            reader.fault(table.key_at("sidecar"), message, "a main task runs as long as its siblings anyway");
            None
        }
        hook => Some(hook),
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
        let hint = "`${...}` works in `args`, `env`, `workdir`, `logs.file` and `env_files`; `command: /usr/bin/env` runs what its `args` say";
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
        return paths::from_file(reader, node, "command", text);
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

fn args(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>, known: &Env<'_>) -> Vec<String> {
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
        scope.check(reader, item, text, known);
        args.push(text.to_owned());
    }
    args
}

/// Returns the variables that files say and those written, which win.
fn env(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    scope: &Scope<'_>,
    files: &files::EnvFiles,
) -> BTreeMap<String, String> {
    let node = table.get("env");
    let entries =
        node.map(|node| pairs(reader, node, "env", "write `env: {NAME: value}`")).unwrap_or_default();
    // What a file holds is taken as it is; only what stands in the job file is filled in.
    let literal = |text: &String| text.replace("${", "$${");
    let mut env: BTreeMap<String, String> =
        files.variables.iter().map(|(name, text)| (name.clone(), literal(text))).collect();
    let count = entries.len() + env.len();
    if count > limits::ENV_PER_TASK {
        let at = node.or(table.get("env_files")).map_or(table.at, |node| node.at);
        let message = format!("{count} variables, at most {} for a task", limits::ENV_PER_TASK);
        reader.fault(at, message, "");
        return BTreeMap::new();
    }
    let known = Env { own: None, files: Some(&files.variables), on_node: !files.on_node.is_empty() };
    for (key, value) in entries {
        let Some(name) = reader.text(key, "env") else { continue };
        if !rules::is_key(name) {
            let hint = "letters, digits, `_`, `-` and `.`, not a digit first, at most 255 characters";
            reader.fault(key.at, format!("{} is not a name of a variable", quote(name)), hint);
        } else if rules::is_fact(name) {
            let hint = "choose another name";
            reader.fault(key.at, format!("{} is set by minijob itself", quote(name)), hint);
        }
        let Some(text) = reader.text(value, name) else { continue };
        scope.check(reader, value, text, &known);
        env.insert(name.to_owned(), known.with_files(text));
    }
    env
}

fn user(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "user")?;
    if !rules::is_user(text) {
        let what = "the name or number of one user, or `USER:GROUP`";
        return reader.expected(node, "user", what, "");
    }
    Some(text.to_owned())
}

fn workdir(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>, known: &Env<'_>) -> Option<String> {
    let text = reader.text(node, "workdir")?;
    if text.is_empty() {
        return reader.expected(node, "workdir", "a directory", "leave it out for the task's own directory");
    }
    scope.check(reader, node, text, known);
    // What begins with a name is whole only when the task starts.
    Some(if text.starts_with("${") {
        text.to_owned()
    } else {
        paths::from_file(reader, node, "workdir", text)
    })
}
