//! `ports`: names of ports on the node's address.

use std::collections::BTreeMap;

use super::keys::Level;
use super::reader::{Reader, shown};
use super::source::Mark;
use super::table::{Table, pairs};
use super::tree::{Node, Value};
use crate::limits;
use crate::model::Port;

/// Reads `ports`. A port whose description is wrong is still known by its name, so that what uses it is not wrong as well.
pub(super) fn ports(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, Port> {
    let hint = "ports have names: `ports: {http: {static: 8080}}`, or `{http: {}}` for one that is free";
    let entries = pairs(reader, node, "ports", hint);
    if entries.len() > limits::PORTS_PER_GROUP {
        let message = format!("{} ports, at most {} in a group", entries.len(), limits::PORTS_PER_GROUP);
        reader.fault(node.at, message, "");
        return BTreeMap::new();
    }
    let mut taken: BTreeMap<u16, Mark> = BTreeMap::new();
    let mut ports = BTreeMap::new();
    for (key, value) in entries {
        let Some(name) = reader.name(key, "port") else { continue };
        let port = port(reader, value, &name, &mut taken);
        ports.insert(name, port);
    }
    ports
}

fn port(reader: &mut Reader<'_>, node: &Node, name: &str, taken: &mut BTreeMap<u16, Mark>) -> Port {
    if let Value::Text { text, .. } = &node.value {
        let number = if text.parse::<u16>().is_ok() { text } else { "8080" };
        let hint = format!("write `{name}: {{static: {number}}}`, or `{name}: {{}}` for one that is free");
        reader.fault(node.at, format!("port `{name}` is {}, expected a mapping", shown(node)), hint);
        return Port::Dynamic;
    }
    let table = Table::read(reader, node, &[Level::Port], name);
    let Some(value) = table.get("static") else { return Port::Dynamic };
    let Some(number) = reader.whole(value, "static", 1..=65535) else { return Port::Dynamic };
    let number = number as u16;
    if let Some(before) = taken.insert(number, value.at) {
        let message = format!("port {number} is used twice in this group, first on line {}", before.line);
        reader.fault(value.at, message, "");
    }
    Port::Static(number)
}
