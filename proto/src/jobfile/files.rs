//! What a task finds on disk: files that travel with the job, environment files, mounts of volumes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use super::keys::Level;
use super::names::{Env, Scope};
use super::reader::{Reader, did_you_mean, nearest, quote, shown};
use super::table::{Table, pairs};
use super::tree::{Node, Value};
use super::{paths, rules, variables};
use crate::envfile;
use crate::limits;
use crate::model::{Mount, NodeEnvFile, TaskFile, Volume, VolumeSource};

/// Returns the entries of a list, or notes why it is none or too long.
pub(super) fn entries<'n>(
    reader: &mut Reader<'_>,
    node: &'n Node,
    key: &str,
    most: usize,
    hint: &str,
) -> Vec<&'n Node> {
    let items = match &node.value {
        Value::List(items) => items,
        Value::Null => return Vec::new(),
        _ => return reader.expected(node, key, "a list", hint).unwrap_or_default(),
    };
    if items.len() > most {
        reader.fault(node.at, format!("{} entries of `{key}`, at most {most}", items.len()), "");
        return Vec::new();
    }
    items.iter().map(|item| &**item).collect()
}

/// Reads `volumes` of a group. One whose description is wrong is still known by its name.
pub(super) fn volumes(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, Volume> {
    let hint = "volumes have names: `volumes: {data: {host: pgdata}}`, or `{data: {path: /srv/data}}`";
    let entries = pairs(reader, node, "volumes", hint);
    if entries.len() > limits::VOLUMES_PER_GROUP {
        let most = limits::VOLUMES_PER_GROUP;
        reader.fault(node.at, format!("{} volumes, at most {most} in a group", entries.len()), "");
        return BTreeMap::new();
    }
    let mut volumes = BTreeMap::new();
    for (key, value) in entries {
        let Some(name) = reader.name(key, "volume") else { continue };
        let volume = volume(reader, value, &name);
        volumes.insert(name, volume);
    }
    volumes
}

fn volume(reader: &mut Reader<'_>, node: &Node, name: &str) -> Volume {
    let nowhere = VolumeSource::Host(String::new());
    if let Value::Text { .. } = &node.value {
        let hint = format!("write `{name}: {{path: /srv/data}}`, or `{name}: {{host: NAME}}`");
        let message = format!("volume `{name}` is {}, expected a mapping", shown(node));
        reader.fault(node.at, message, hint);
        return Volume { source: nowhere, read_only: false };
    }
    let table = Table::read(reader, node, &[Level::Volume], name);
    let host = table.get("host").map(|node| reader.name(node, "volume of the agent"));
    let path = table.get("path").map(|node| paths::of_node(reader, node, "path"));
    let source = match (host, path) {
        (Some(host), None) => VolumeSource::Host(host.unwrap_or_default()),
        (None, Some(path)) => VolumeSource::Path(path.unwrap_or_default()),
        (Some(_), Some(_)) => {
            let hint = "`host` names what the agent declares, `path` is a place of the node: one of both";
            reader.fault(table.key_at("path"), format!("volume `{name}` has `host` and `path`"), hint);
            nowhere
        }
        (None, None) => {
            if !table.refused("docker") && !table.refused("host") {
                let hint = "write `host: NAME` for what the agent declares, or `path: /srv/data`";
                table.lacks(reader, "path", &format!("volume `{name}` has neither `host` nor `path`"), hint);
            }
            nowhere
        }
    };
    let read_only = table.get("read_only").and_then(|node| reader.bool(node, "read_only"));
    Volume { source, read_only: read_only.unwrap_or(false) }
}

/// Reads `mounts` of a task.
pub(super) fn mounts(reader: &mut Reader<'_>, node: &Node, volumes: &BTreeMap<String, Volume>) -> Vec<Mount> {
    let hint = "write `mounts: [{volume: data, to: /var/lib/data}]`";
    let mut mounts: Vec<Mount> = Vec::new();
    for item in entries(reader, node, "mounts", limits::MOUNTS_PER_TASK, hint) {
        if !matches!(item.value, Value::Map(_)) {
            reader.expected::<()>(item, "mounts", "a mapping", hint);
            continue;
        }
        let table = Table::read(reader, item, &[Level::Mount], "mounts");
        let volume = mounted(reader, &table, volumes);
        let Some(to) = table.get("to") else {
            table.lacks(reader, "to", "the mount has no `to`", "for example `to: /var/lib/data`");
            continue;
        };
        let at = to.at;
        let Some(to) = paths::of_node(reader, to, "to") else { continue };
        if mounts.iter().any(|other| other.to.trim_end_matches('/') == to.trim_end_matches('/')) {
            reader.fault(at, format!("two mounts are at {}", quote(&to)), "");
        }
        let read_only = table.get("read_only").and_then(|node| reader.bool(node, "read_only"));
        mounts.push(Mount { volume, to, read_only: read_only.unwrap_or(false) });
    }
    mounts
}

fn mounted(reader: &mut Reader<'_>, table: &Table<'_>, volumes: &BTreeMap<String, Volume>) -> String {
    let Some(node) = table.get("volume") else {
        table.lacks(reader, "volume", "the mount has no `volume`", "name one of the `volumes` of the group");
        return String::new();
    };
    let Some(name) = reader.name(node, "volume") else { return String::new() };
    if !volumes.contains_key(&name) {
        let known = || volumes.keys().map(String::as_str);
        let hint = match (nearest(&name, known()), volumes.is_empty()) {
            (Some(near), _) => did_you_mean(near),
            (None, true) => format!("declare it: `volumes: {{{name}: {{path: /srv/{name}}}}}` in the group"),
            (None, false) => format!("the group has {}", known().map(quote).collect::<Vec<_>>().join(", ")),
        };
        reader.fault(node.at, format!("the group has no volume {}", quote(&name)), hint);
    }
    name
}

/// Reads `files` of a task.
pub(super) fn files(reader: &mut Reader<'_>, node: &Node) -> Vec<TaskFile> {
    let hint = "write `files: [{to: local/app.conf, content: ...}]`";
    let before = reader.count();
    let mut files = Vec::new();
    for item in entries(reader, node, "files", limits::FILES_PER_TASK, hint) {
        if !matches!(item.value, Value::Map(_)) {
            reader.expected::<()>(item, "files", "a mapping", hint);
            continue;
        }
        let table = Table::read(reader, item, &[Level::File], "files");
        let to = table.get("to").and_then(|node| paths::of_task(reader, node, "to"));
        if table.get("to").is_none() {
            table.lacks(reader, "to", "the file has no `to`", "for example `to: local/app.conf`");
        }
        let content = file_content(reader, &table);
        let mode = table.get("mode").and_then(|node| mode(reader, node)).unwrap_or(TaskFile::DEFAULT_MODE);
        files.extend(to.zip(content).map(|(to, content)| TaskFile { to, content, mode }));
    }
    let overlap = rules::overlap(files.iter().map(|file| file.to.as_str()));
    if let Some((one, other)) = overlap.filter(|_| reader.count() == before) {
        let message = match one == other {
            true => format!("two files are written to {}", quote(one)),
            false => format!("{} is a file, and {} would lie in it", quote(one), quote(other)),
        };
        reader.fault(node.at, message, "");
    }
    files
}

fn file_content(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<Bytes> {
    let written = ["content", "from", "base64"].map(|key| table.get(key).map(|node| (key, node)));
    let mut written = written.into_iter().flatten();
    let Some((key, node)) = written.next() else {
        table.lacks(reader, "content", "the file has neither `content` nor `from`", "write one of both");
        return None;
    };
    if let Some((other, _)) = written.next() {
        let message = format!("the file has `{key}` and `{other}`");
        reader.fault(table.key_at(other), message, "one of both says what is in it");
        return None;
    }
    let text = reader.text(node, key)?;
    match key {
        "content" => {
            let text = variables::literal(text);
            if text.len() > limits::TRAVELLING_FILE_BYTES {
                let most = crate::units::show_size(limits::TRAVELLING_FILE_BYTES as u64);
                reader.fault(node.at, format!("the content is larger than {most}"), "put data into a volume");
            }
            Some(Bytes::from(text))
        }
        "from" => paths::content(reader, node, key, text, false).map(Bytes::from),
        _ => match BASE64.decode(text) {
            Ok(bytes) => Some(Bytes::from(bytes)),
            Err(_) => reader.expected(node, "base64", "Base64 in one line", "`base64 -w0 FILE` prints it"),
        },
    }
}

/// Reads permission bits. They are octal however YAML would read the number.
fn mode(reader: &mut Reader<'_>, node: &Node) -> Option<u32> {
    const WHAT: &str = "permission bits in octal from 0000 to 0777, such as `0644`";
    let Value::Text { text, .. } = &node.value else { return reader.expected(node, "mode", WHAT, "") };
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal =
        (3..=4).contains(&digits.len()) && digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if is_octal && mode <= 0o777 => Some(mode),
        Ok(_) if is_octal => {
            reader.expected(node, "mode", WHAT, "set-user-id, set-group-id and sticky bits cannot be given")
        }
        _ => reader.expected(node, "mode", WHAT, ""),
    }
}

/// Environment files: what those read now say, and those that the agent reads.
#[derive(Default)]
pub(super) struct EnvFiles {
    pub variables: BTreeMap<String, String>,
    pub on_node: Vec<NodeEnvFile>,
}

/// Reads `env_files` of a task, and the files themselves that travel with the job.
pub(super) fn env_files(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>) -> EnvFiles {
    let hint = "write `env_files: [app.env]`";
    let mut files = EnvFiles::default();
    let mut travelling = None;
    for item in entries(reader, node, "env_files", limits::ENV_FILES_PER_TASK, hint) {
        if let Value::Text { .. } = &item.value {
            if let Some(path) = reader.text(item, "env_files") {
                travelling = Some(path);
                env_file(reader, item, path, false, &mut files);
            }
            continue;
        }
        let table = Table::read(reader, item, &[Level::EnvFile], "env_files");
        let mut flag = |key| table.get(key).and_then(|node| reader.bool(node, key)).unwrap_or(false);
        let (on_node, optional) = (flag("on_node"), flag("optional"));
        let Some(path) = table.get("path") else {
            table.lacks(reader, "path", "the file has no `path`", "for example `path: app.env`");
            continue;
        };
        if let (true, Some(earlier)) = (on_node, travelling) {
            let message =
                format!("a file that is read on the node stands after {}, which travels", quote(earlier));
            let hint =
                "a later file wins, and what travels is already part of the job: put those `on_node` first";
            reader.fault(path.at, message, hint);
        } else if on_node {
            let known = Env { own: None, files: None, on_node: !files.on_node.is_empty() };
            let path = paths::of_node_filled(reader, path, "path", scope, &known);
            files.on_node.extend(path.map(|path| NodeEnvFile { path, optional }));
        } else if let Some(text) = reader.text(path, "path") {
            travelling = Some(text);
            env_file(reader, path, text, optional, &mut files);
        }
    }
    files
}

fn env_file(reader: &mut Reader<'_>, node: &Node, path: &str, optional: bool, files: &mut EnvFiles) {
    let Some(bytes) = paths::content(reader, node, "env_files", path, optional) else { return };
    let Ok(text) = String::from_utf8(bytes) else {
        return reader.fault(node.at, format!("{} is not UTF-8", quote(path)), "");
    };
    match envfile::parse(&text) {
        Ok(variables) => {
            if let Some((name, _)) = variables.iter().find(|(name, _)| rules::is_fact(name)) {
                let message = format!("{}: {} is set by minijob itself", quote(path), quote(name));
                reader.fault(node.at, message, "");
            }
            files.variables.extend(variables);
        }
        Err(bad) => {
            let hint = "each line is `NAME=VALUE`, a comment (`# ...`) or empty";
            reader.fault(node.at, format!("{}, {bad}", quote(path)), hint);
        }
    }
}
