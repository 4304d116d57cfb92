//! Values that several files have: paths, addresses, facts, amounts; in files, and as flags have them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use proto::limits::META_ENTRIES;
use proto::names;
use proto::units;
use proto::yaml::{Node, Reader, Value, pairs};

use crate::address::{self, Address};
use crate::daemon::server::Backend;
use crate::limits;

/// CPU and memory, each where it was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// In millicores.
    pub cpu: Option<u32>,
    /// In bytes.
    pub memory: Option<u64>,
}

/// The shortest and the longest silence before a server stands for election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The shortest.
    pub least: Duration,
    /// The longest.
    pub most: Duration,
}

/// Reads what has a parser of its own, such as a flag has.
pub(super) fn parsed<T>(
    reader: &mut Reader<'_>,
    node: &Node,
    key: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let text = reader.text(node, key)?;
    parse(text).map_err(|why| reader.fault(node.at, format!("`{key}`: {why}"), "")).ok()
}

/// Reads the name of a server or a node.
pub(super) fn machine(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    parsed(reader, node, "name", crate::args::machine)
}

/// Reads an IP address and a port.
pub(super) fn socket(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<SocketAddr> {
    parsed(reader, node, key, address::listen)
}

/// Reads `true` or `false`.
pub(super) fn switch(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<bool> {
    reader.word(node, key, &[("true", true), ("false", false)])
}

/// Reads an absolute path: a daemon has no directory of its own that a relative one could mean.
pub(super) fn path(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<PathBuf> {
    parsed(reader, node, key, absolute)
}

/// Reads an absolute path without `..`.
///
/// # Errors
/// What is wrong with it.
pub fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("expected an absolute path without `..`, not `{text}`"));
    }
    Ok(path.components().collect())
}

/// Reads several texts, or one that stands for itself.
pub(super) fn texts<'n>(reader: &mut Reader<'_>, node: &'n Node, key: &str) -> Option<Vec<&'n Node>> {
    match &node.value {
        Value::List(items) => Some(items.iter().map(|item| &**item).collect()),
        Value::Text { .. } => Some(vec![node]),
        _ => reader.expected(node, key, "a list such as `[a, b]`", ""),
    }
}

/// Reads the addresses of servers.
pub(super) fn servers(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<Vec<Address>> {
    let items = texts(reader, node, key)?;
    let mut addresses = Vec::new();
    for item in &items {
        let read = parsed(reader, item, key, |text| Address::list(text).map_err(|error| error.message));
        addresses.extend(read?);
    }
    if addresses.is_empty() || addresses.len() > limits::SERVERS {
        return reader.expected(node, key, &format!("1 to {} servers", limits::SERVERS), "");
    }
    Some(addresses)
}

/// Reads the addresses of servers; an empty list names none.
pub(super) fn servers_or_none(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<Address>> {
    match &node.value {
        Value::List(items) if items.is_empty() => Some(Vec::new()),
        _ => servers(reader, node, "join"),
    }
}

/// Reads paths.
pub(super) fn paths(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<Vec<PathBuf>> {
    texts(reader, node, key)?.into_iter().map(|item| path(reader, item, key)).collect()
}

/// Reads facts about the machine.
pub(super) fn facts(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<BTreeMap<String, String>> {
    let mut facts = BTreeMap::new();
    for (name, value) in pairs(reader, node, key, "") {
        let text = reader.text(value, key)?;
        let name_text = reader.text(name, key)?;
        if name_text.is_empty() {
            return reader.expected(name, key, "a key that is not empty", "");
        }
        facts.insert(name_text.to_owned(), text.to_owned());
    }
    if facts.len() > META_ENTRIES {
        return reader.expected(node, key, &format!("at most {META_ENTRIES} entries"), "");
    }
    Some(facts)
}

/// Reads host volumes: names with the directories that they stand for.
pub(super) fn volumes(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<BTreeMap<String, PathBuf>> {
    let mut volumes = BTreeMap::new();
    for (name, value) in pairs(reader, node, key, "write `volumes: {NAME: /a/directory}`") {
        let name = reader.name(name, "volume")?;
        volumes.insert(name, path(reader, value, key)?);
    }
    Some(volumes)
}

/// Reads `{cpu: 500m, memory: 512MiB}`.
pub(super) fn amounts(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<Amounts> {
    const KEYS: &[super::table::Key] = &[super::table::acted("cpu"), super::table::acted("memory")];
    let table = super::table::Table::read(reader, "", Some(node), KEYS, key);
    let cpu = table.get(reader, "cpu", |reader, node| reader.cpu(node, "cpu"));
    let memory = table.get(reader, "memory", |reader, node| reader.size(node, "memory", 0));
    Some(Amounts { cpu: cpu.map(|cpu| cpu.value), memory: memory.map(|memory| memory.value) })
}

/// Reads `cpu=500m,memory=512MiB`.
///
/// # Errors
/// What is wrong, and how it would be right.
pub fn amounts_flag(text: &str) -> Result<Amounts, String> {
    let mut amounts = Amounts::default();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("cpu", cpu)) => amounts.cpu = Some(units::parse_cpu(cpu).map_err(|why| why.to_string())?),
            Some(("memory", memory)) => {
                amounts.memory = Some(units::parse_size(memory).map_err(|why| why.to_string())?);
            }
            _ => {
                return Err(format!(
                    "`{part}`: expected cpu=AMOUNT and memory=SIZE, such as cpu=500m,memory=512MiB"
                ));
            }
        }
    }
    Ok(amounts)
}

/// Reads `500ms..1s`.
///
/// # Errors
/// What is wrong, and how it would be right.
pub fn span(text: &str) -> Result<Span, String> {
    let expected = || format!("`{text}`: expected the shortest and the longest time, such as `1s..2s`");
    let (least, most) = text.split_once("..").ok_or_else(expected)?;
    let duration = |text: &str| units::parse_duration(text.trim()).map_err(|why| why.to_string());
    let span = Span { least: duration(least)?, most: duration(most)? };
    if span.least.is_zero() || span.least >= span.most { Err(expected()) } else { Ok(span) }
}

/// Reads the name of what keeps the replicated log.
///
/// # Errors
/// Which names there are.
pub fn log_store(text: &str) -> Result<Backend, String> {
    Backend::from_name(text).ok_or_else(|| format!("`{text}`: expected `segments` or `sled`"))
}

/// Reads a duration that is longer than nothing.
///
/// # Errors
/// What is wrong, and how it would be right.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(text).map_err(|why| why.to_string())?;
    if duration.is_zero() { Err("must be longer than nothing".to_owned()) } else { Ok(duration) }
}

/// Reads `KEY=VALUE`.
///
/// # Errors
/// What is missing.
pub fn fact(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as rack=r1")?;
    if key.is_empty() {
        return Err("the key is empty: expected KEY=VALUE, such as rack=r1".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Reads `NAME=/a/directory`.
///
/// # Errors
/// What is missing.
pub fn volume(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("expected NAME=DIR, such as pgdata=/srv/pg")?;
    if !names::is_name(name) {
        return Err(names::advice(names::RULE, name));
    }
    Ok((name.to_owned(), absolute(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_a_key_and_a_value_that_may_hold_anything() {
        assert_eq!(fact("rack=r1"), Ok(("rack".into(), "r1".into())));
        assert_eq!(fact("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(fact("rack").is_err() && fact("=r1").is_err());
    }

    #[test]
    fn a_volume_is_a_name_and_an_absolute_path() {
        assert_eq!(volume("pg=/srv/pg/"), Ok(("pg".into(), "/srv/pg".into())));
        assert!(volume("pg").is_err() && volume("pg=srv").is_err() && volume("PG=/srv").is_err());
        assert!(volume("pg=/srv/../etc").is_err());
    }

    #[test]
    fn amounts_need_their_units() {
        let both = Amounts { cpu: Some(500), memory: Some(512 << 20) };
        assert_eq!(amounts_flag("cpu=500m, memory=512MiB"), Ok(both));
        assert_eq!(amounts_flag("cpu=2").map(|amounts| amounts.memory), Ok(None));
        assert!(amounts_flag("memory=512").expect_err("no unit").contains("512MiB"));
        assert!(amounts_flag("disk=1GiB").is_err());
    }

    #[test]
    fn a_span_grows() {
        let second = Duration::from_secs(1);
        assert_eq!(span("500ms..1s"), Ok(Span { least: second / 2, most: second }));
        assert!(span("1s").is_err() && span("2s..1s").is_err() && span("0s..1s").is_err());
    }
}
