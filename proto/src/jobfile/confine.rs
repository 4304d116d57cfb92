//! What a task may use of the machine, and do to it: limits, rlimits, capabilities, namespaces.

use std::collections::BTreeMap;

use super::keys::Level;
use super::reader::{Reader, did_you_mean, nearest, quote};
use super::table::{Table, pairs};
use super::tree::{Node, Value};
use super::{files, rules};
use crate::model::{CAPABILITIES, Confinement, Isolate, Limits, RLIMITS, Resources, Rlimit, Task};
use crate::units::{show_cpu, show_size};

/// Reads `resources`: what is reserved, and what the kernel enforces.
pub(super) fn resources(reader: &mut Reader<'_>, node: &Node) -> (Resources, Limits) {
    let table = Table::read(reader, node, &[Level::Resources], "resources");
    let cpu = table.get("cpu").and_then(|node| reader.cpu(node, "cpu")).map(u64::from);
    let memory = table.get("memory").and_then(|node| reader.size(node, "memory", 1));
    let limits = Limits {
        memory_bytes: memory_limit(reader, &table, memory),
        cpu_millis: written(&table, "cpu_limit")
            .and_then(|node| reader.cpu(node, "cpu_limit"))
            .map(u64::from),
        pids: written(&table, "pids")
            .and_then(|node| reader.whole(node, "pids", 1..=i64::from(rules::PIDS_MOST)))
            .map(|pids| pids as u32),
    };
    if let (Some(cpu), Some(limit)) = (cpu, limits.cpu_millis.filter(|limit| Some(*limit) < cpu)) {
        let (cpu, limit) = (show_cpu(cpu as u32), show_cpu(limit as u32));
        let message = format!("`cpu_limit` is {limit}, less than `cpu`, which is {cpu}");
        reader.fault(table.key_at("cpu_limit"), message, format!("at least `{cpu}`"));
    }
    // What is not written is reserved as usual, but never more than may be used.
    let Resources { cpu_millis, memory_bytes } = Task::DEFAULT_RESOURCES;
    let default_cpu = limits.cpu_millis.map_or(cpu_millis, |limit| limit.min(cpu_millis));
    let default_memory = limits.memory_bytes.map_or(memory_bytes, |limit| limit.min(memory_bytes));
    let resources =
        Resources { cpu_millis: cpu.unwrap_or(default_cpu), memory_bytes: memory.unwrap_or(default_memory) };
    (resources, limits)
}

fn memory_limit(reader: &mut Reader<'_>, table: &Table<'_>, memory: Option<u64>) -> Option<u64> {
    let least = rules::MEMORY_LIMIT_LEAST;
    if table.get("memory_limit").is_none() {
        if memory.is_some_and(|memory| memory < least) {
            let hint = "it is the limit, too, unless `memory_limit` is written";
            let message = format!("`memory` is below `{}`, which no program fits into", show_size(least));
            reader.fault(table.get("memory").map_or(table.at, |node| node.at), message, hint);
        }
        return memory;
    }
    let limit = written(table, "memory_limit").and_then(|node| reader.size(node, "memory_limit", least));
    if let (Some(memory), Some(limit)) = (memory, limit.filter(|limit| Some(*limit) < memory)) {
        let (memory, limit) = (show_size(memory), show_size(limit));
        let message = format!("`memory_limit` is {limit}, less than `memory`, which is {memory}");
        reader.fault(table.key_at("memory_limit"), message, format!("at least `{memory}`"));
    }
    limit
}

/// Returns the value of a key unless it is empty or `none`.
pub(super) fn written<'n>(table: &Table<'n>, key: &str) -> Option<&'n Node> {
    let says_none = |node: &&Node| match &node.value {
        Value::Null => true,
        Value::Text { text, .. } => text == "none",
        _ => false,
    };
    table.get(key).filter(|node| !says_none(node))
}

/// Reads what sets a task apart from the rest of the machine.
pub(super) fn confinement(reader: &mut Reader<'_>, table: &Table<'_>) -> Confinement {
    // The word `none` says nothing here: no capabilities, or those of its user?
    let given = |key| table.get(key).filter(|node| !matches!(node.value, Value::Null));
    let nice = given("nice").and_then(|node| reader.whole(node, "nice", -20..=19));
    let oom = given("oom_score_adj").and_then(|node| reader.whole(node, "oom_score_adj", -1000..=1000));
    let new_privileges = table.get("new_privileges").and_then(|node| reader.bool(node, "new_privileges"));
    Confinement {
        rlimits: table.get("rlimits").map(|node| rlimits(reader, node)).unwrap_or_default(),
        nice: nice.map(|nice| nice as i8),
        oom_score_adj: oom.map(|score| score as i16),
        capabilities: given("capabilities").map(|node| capabilities(reader, node)),
        new_privileges: new_privileges.unwrap_or(false),
        isolate: table.get("isolate").map(|node| isolate(reader, node)).unwrap_or_default(),
    }
}

fn rlimits(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, Rlimit> {
    let mut limits = BTreeMap::new();
    for (key, value) in pairs(reader, node, "rlimits", "write `rlimits: {nofile: 65536}`") {
        let Some(written) = reader.text(key, "rlimits") else { continue };
        let name = written.to_ascii_lowercase();
        let name = name.strip_prefix("rlimit_").unwrap_or(&name);
        let known = || RLIMITS.iter().map(|(name, _)| *name);
        if !known().any(|known| known == name) {
            let all = || format!("the kernel has {}", known().collect::<Vec<_>>().join(", "));
            let hint = nearest(name, known()).map_or_else(all, did_you_mean);
            reader.fault(key.at, format!("{} is no limit of the kernel", quote(written)), hint);
            continue;
        }
        if limits.contains_key(name) {
            reader.fault(key.at, format!("{} is written twice", quote(name)), "");
        }
        if let Some(limit) = rlimit(reader, value, name) {
            limits.insert(name.to_owned(), limit);
        }
    }
    limits
}

fn rlimit(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Rlimit> {
    if !matches!(node.value, Value::Map(_)) {
        let both = rlimit_value(reader, node, name)?;
        return Some(Rlimit { soft: both, hard: both });
    }
    let table = Table::read(reader, node, &[Level::Rlimit], name);
    let (Some(soft), Some(hard)) = (table.get("soft"), table.get("hard")) else {
        let message = format!("{} wants `soft` and `hard`", quote(name));
        table.lacks(reader, "hard", &message, "a single number stands for both");
        return None;
    };
    let (soft, hard) = (rlimit_value(reader, soft, "soft")?, rlimit_value(reader, hard, "hard")?);
    if hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)) {
        let message = format!("the soft limit of {} is above its hard one", quote(name));
        reader.fault(table.key_at("soft"), message, "a soft limit can be raised up to the hard one");
    }
    Some(Rlimit { soft, hard })
}

/// Reads a number, or `unlimited`, which is none.
fn rlimit_value(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<Option<u64>> {
    let Value::Text { text, .. } = &node.value else {
        return reader.expected(node, key, "a whole number or `unlimited`", "");
    };
    if text == "unlimited" {
        return Some(None);
    }
    match text.parse::<u64>() {
        Ok(number) if number <= rules::RLIMIT_MOST && !text.starts_with('+') => Some(Some(number)),
        _ => reader.expected(node, key, "a whole number or `unlimited`", ""),
    }
}

fn capabilities(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    let hint = "write `capabilities: [net_bind_service]`";
    let mut names = Vec::new();
    for item in files::entries(reader, node, "capabilities", CAPABILITIES.len(), hint) {
        let Some(text) = reader.text(item, "capabilities") else { continue };
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_prefix("cap_").unwrap_or(&lower);
        if CAPABILITIES.contains(&name) {
            names.push(name.to_owned());
            continue;
        }
        let begun = CAPABILITIES.into_iter().find(|known| name.len() > 2 && known.starts_with(name));
        let near = begun.or_else(|| nearest(name, CAPABILITIES.into_iter())).map(did_you_mean);
        let hint =
            near.unwrap_or_else(|| "capabilities(7) lists them, such as `net_bind_service`".to_owned());
        reader.fault(item.at, format!("{} is no capability", quote(text)), hint);
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn isolate(reader: &mut Reader<'_>, node: &Node) -> Isolate {
    if !matches!(node.value, Value::Map(_) | Value::Null) {
        let hint =
            "write what it has to itself: `isolate: {pid: true, ipc: true, mount: true, network: none}`";
        return reader.expected(node, "isolate", "a mapping", hint).unwrap_or_default();
    }
    let table = Table::read(reader, node, &[Level::Isolate], "isolate");
    let mut flag = |key| table.get(key).and_then(|node| reader.bool(node, key)).unwrap_or(false);
    let (pid, ipc, mount) = (flag("pid"), flag("ipc"), flag("mount"));
    let word = |node| reader.word(node, "network", &[("none", true), ("host", false)]);
    let network = table.get("network").and_then(word).unwrap_or(false);
    Isolate { pid, ipc, mount, network }
}
