//! Where a group may run: `constraints`, `affinities`, `spread`, `distinct`, `node`.

use std::collections::BTreeMap;

use super::keys::Level;
use super::reader::{Reader, quote};
use super::table::{Table, pairs};
use super::tree::{Node, Value};
use crate::expr::{Expr, Path};
use crate::limits;
use crate::model::{Affinity, DEFAULT_WEIGHT, JobType, Placement, Spread};

/// Reads what a table says of placement.
pub(super) fn placement(reader: &mut Reader<'_>, table: &Table<'_>) -> Placement {
    Placement {
        constraints: entries(reader, table, "constraints")
            .iter()
            .filter_map(|node| expression(reader, node, "constraints"))
            .collect(),
        affinities: entries(reader, table, "affinities")
            .iter()
            .filter_map(|node| affinity(reader, node))
            .collect(),
        spread: entries(reader, table, "spread").iter().filter_map(|node| spread(reader, node)).collect(),
        distinct: table.get("distinct").and_then(|node| fact(reader, node, "distinct")),
        node: table.get("node").and_then(|node| node_name(reader, node)),
    }
}

/// Adds what a job says for all of its groups to what one of them says for itself: both constraints hold, and what a group says of
/// its node, its spread and its affinities comes first. Where a group runs once per node there is nothing to choose: only what
/// rules nodes out counts.
pub(super) fn inherited(job: &Placement, group: Placement, kind: JobType) -> Placement {
    if kind.is_per_node() {
        return Placement {
            constraints: job.constraints.iter().cloned().chain(group.constraints).collect(),
            node: group.node.or_else(|| job.node.clone()),
            ..Placement::default()
        };
    }
    Placement {
        constraints: job.constraints.iter().cloned().chain(group.constraints).collect(),
        affinities: group.affinities.into_iter().chain(job.affinities.iter().cloned()).collect(),
        spread: if group.spread.is_empty() { job.spread.clone() } else { group.spread },
        distinct: group.distinct.or_else(|| job.distinct.clone()),
        node: group.node.or_else(|| job.node.clone()),
    }
}

/// Returns the entries of a list; what is not one is an entry by itself, so that one expression needs no list.
fn entries<'n>(reader: &mut Reader<'_>, table: &Table<'n>, key: &str) -> Vec<&'n Node> {
    let Some(node) = table.get(key) else { return Vec::new() };
    let items: Vec<&Node> = match &node.value {
        Value::List(items) => items.iter().map(|item| &**item).collect(),
        Value::Null => Vec::new(),
        _ => vec![node],
    };
    if items.len() > limits::PLACEMENT_ENTRIES {
        let message = format!("{} entries of `{key}`, at most {}", items.len(), limits::PLACEMENT_ENTRIES);
        reader.fault(node.at, message, "join some with `&&`");
        return Vec::new();
    }
    items
}

fn expression(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<String> {
    let text = reader.text(node, key)?;
    match Expr::parse(text) {
        Ok(_) => Some(text.to_owned()),
        Err(wrong) => {
            reader.fault(node.at, format!("in {}: {}", quote(text), wrong.message), wrong.hint);
            None
        }
    }
}

fn affinity(reader: &mut Reader<'_>, node: &Node) -> Option<Affinity> {
    if let Value::Text { .. } = node.value {
        let when = expression(reader, node, "affinities")?;
        return Some(Affinity { when, weight: DEFAULT_WEIGHT as i8 });
    }
    let table = Table::read(reader, node, &[Level::Affinity], "an affinity");
    let weight = table.get("weight").and_then(|node| reader.whole(node, "weight", -100..=100));
    let Some(when) = table.get("if") else {
        table.lacks(
            reader,
            "if",
            "an affinity has no `if`",
            "for example `{if: 'meta.gpu == \"yes\"', weight: 50}`",
        );
        return None;
    };
    let when = expression(reader, when, "if")?;
    Some(Affinity { when, weight: weight.map_or(DEFAULT_WEIGHT as i8, |weight| weight as i8) })
}

fn spread(reader: &mut Reader<'_>, node: &Node) -> Option<Spread> {
    if let Value::Text { .. } = node.value {
        let over = fact(reader, node, "spread")?;
        return Some(Spread { over, weight: DEFAULT_WEIGHT, targets: BTreeMap::new() });
    }
    let table = Table::read(reader, node, &[Level::Spread], "a spread");
    let weight = table.get("weight").and_then(|node| reader.whole(node, "weight", 1..=100));
    let targets = table.get("targets").map(|node| targets(reader, node)).unwrap_or_default();
    let Some(over) = table.get("over") else {
        table.lacks(reader, "over", "a spread has no `over`", "for example `{over: meta.rack}`");
        return None;
    };
    let over = fact(reader, over, "over")?;
    Some(Spread { over, weight: weight.map_or(DEFAULT_WEIGHT, |weight| weight as u8), targets })
}

fn targets(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, u8> {
    let mut targets = BTreeMap::new();
    let mut sum = 0;
    for (key, value) in pairs(reader, node, "targets", "write `targets: {r1: 50%, r2: 30%}`") {
        let Some(name) = reader.text(key, "targets") else { continue };
        let Some(share) = reader.percent(value, name) else { continue };
        sum += u32::from(share);
        targets.insert(name.to_owned(), share);
    }
    if sum > 100 {
        reader.fault(
            node.at,
            format!("the targets are {sum}% together"),
            "at most 100%: other values share the rest",
        );
    }
    targets
}

fn fact(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<String> {
    let text = reader.text(node, key)?;
    match text.parse::<Path>() {
        Ok(_) => Some(text.to_owned()),
        Err(why) => {
            let hint = "for example `meta.rack`, `attr.arch`, or `node` for every node by itself";
            reader.fault(node.at, format!("{} is not the name of a fact of nodes: {why}", quote(text)), hint);
            None
        }
    }
}

fn node_name(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    if matches!(node.value, Value::Null) {
        return None;
    }
    let text = reader.text(node, "node")?;
    if text.is_empty() || text.len() > limits::NODE_NAME_CHARS || text.contains(char::is_whitespace) {
        return reader.expected(
            node,
            "node",
            "the name or the id of a node",
            "`minijob node status` lists all nodes",
        );
    }
    Some(text.to_owned())
}
