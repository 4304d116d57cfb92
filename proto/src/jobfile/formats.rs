//! Files of other tools: recognised, so that one clear sentence stands for a page of unknown keys.

use std::rc::Rc;

use super::reader::Reader;
use super::source::{Mark, Source};
use super::tree::{Node, Value};

/// Notes a fault and returns true if a document is in another tool's format.
pub(super) fn foreign(reader: &mut Reader<'_>, root: &Node) -> bool {
    let Value::Map(pairs) = &root.value else { return false };
    let entry = |name: &str| {
        let named = |key: &Node| matches!(&key.value, Value::Text { text, .. } if text == name);
        pairs.iter().find(|(key, _)| named(key)).map(|(key, value)| (key.at, value))
    };
    let ours = ["command", "image", "tasks", "groups", "jobs"].iter().any(|key| entry(key).is_some());
    let is_map = |value: &Node| matches!(value.value, Value::Map(_));
    let compose = match (entry("services"), entry("version"), entry("include")) {
        _ if ours => None,
        (Some((at, services)), ..) if is_map(services) => Some(at),
        (_, Some((at, _)), _) | (.., Some((at, _))) => Some(at),
        _ if entry("name").is_none() => first_format(pairs),
        _ => None,
    };
    if let Some(at) = compose {
        let hint = "a job file describes a program under `command`, or several under `tasks: {NAME: {command: ...}}`; \
                    containers come later and will go under `tasks`, too";
        reader.fault(at, "this is a docker-compose file, not a job file", hint);
        return true;
    }
    if let (Some((at, _)), Some(_), false) = (entry("apiVersion"), entry("kind"), ours) {
        let hint = "a job file begins with `name: ...` and `command: ...`";
        reader.fault(at, "this is a Kubernetes manifest, not a job file", hint);
        return true;
    }
    false
}

/// Returns where a docker-compose file of the first format begins: services at the top, without `services`.
fn first_format(pairs: &[(Rc<Node>, Rc<Node>)]) -> Option<Mark> {
    let runs =
        |key: &Node| matches!(&key.value, Value::Text { text, .. } if text == "image" || text == "build");
    let is_container = |node: &Node| match &node.value {
        Value::Map(pairs) => pairs.iter().any(|(key, _)| runs(key)),
        _ => false,
    };
    pairs.iter().find(|(_, value)| is_container(value)).map(|(key, _)| key.at)
}

/// Notes a fault and returns true if a text is no YAML at all but in another tool's format.
///
/// None of these can begin a job file: the first line that is no comment would have to be a key.
pub(super) fn foreign_text(reader: &mut Reader<'_>, source: &Source<'_>) -> bool {
    let is_comment = |line: &str| ["#", "//", ";"].iter().any(|sign| line.starts_with(sign));
    let mut lines = source.text.lines().map(str::trim).filter(|line| !line.is_empty() && !is_comment(line));
    let first = lines.next().unwrap_or("");
    let Some((format, hint)) = format_of(first, lines.next().unwrap_or("")) else { return false };
    let at = line_start(source.text, first).map_or(Mark::START, |byte| source.mark(byte));
    reader.fault(at, format!("this is {format}, not a job file"), hint);
    true
}

/// Names the format that a text begins like, with how to say the same in a job file.
fn format_of(first: &str, second: &str) -> Option<(&'static str, &'static str)> {
    const JOB: &str = "a job file is YAML and begins with `name: ...` and `command: ...`";
    if first.starts_with("job ") && first.ends_with('{') && !first.contains(':') {
        return Some(("a Nomad job", JOB));
    }
    if let Some(section) = first.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let (kind, _) = section.split_once(':').unwrap_or((section, ""));
        return match kind {
            "Unit" | "Service" | "Install" | "Timer" | "Socket" => Some((
                "a systemd unit",
                "write `name: ...`, the program of `ExecStart` as `command` and what follows it as `args`, \
                 `Environment` as `env`, `User` as `user`, `WorkingDirectory` as `workdir`; a service is restarted by default",
            )),
            "program" | "supervisord" | "unix_http_server" | "inet_http_server" | "supervisorctl" => Some((
                "a supervisord file",
                "write each `[program:NAME]` as a job: `name: NAME`, the program of its `command` as `command` and what \
                 follows it as `args`, `environment` as `env`, `directory` as `workdir`; several jobs are parted by `---`",
            )),
            _ => second.contains('=').then_some(("an INI or TOML file", JOB)),
        };
    }
    let (word, rest) = first.split_once(' ').unwrap_or((first, ""));
    // `FROM image:tag` has a colon, but none that makes a key.
    let is_docker = matches!(word, "FROM" | "ARG") && !rest.is_empty() && !format!("{rest} ").contains(": ");
    is_docker.then_some((
        "a Dockerfile",
        "it builds an image, and containers come later; a job file begins with `name: ...` and `command: ...`",
    ))
}

/// Returns where the line that is this text stands, spaces around it aside.
fn line_start(text: &str, line: &str) -> Option<usize> {
    let mut at = 0;
    for whole in text.split_inclusive('\n') {
        if whole.trim() == line {
            return Some(at + whole.len() - whole.trim_start().len());
        }
        at += whole.len();
    }
    None
}
