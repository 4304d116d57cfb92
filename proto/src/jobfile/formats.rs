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

/// Notes a fault and returns true if a text is no YAML at all but a Nomad job.
pub(super) fn nomad(reader: &mut Reader<'_>, source: &Source<'_>) -> bool {
    let is_comment = |line: &str| line.starts_with('#') || line.starts_with("//");
    let mut lines = source.text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !is_comment(line)).unwrap_or("");
    let is_nomad = first.starts_with("job ") && first.ends_with('{') && !first.contains(':');
    if is_nomad {
        let at = source.text.find(first).map_or(Mark::START, |byte| source.mark(byte));
        let hint = "a job file is YAML and begins with `name: ...` and `command: ...`";
        reader.fault(at, "this is a Nomad job, not a job file", hint);
    }
    is_nomad
}
