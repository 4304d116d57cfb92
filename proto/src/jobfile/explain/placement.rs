//! Where a group may run.

use crate::jobfile::emit::Lines;
use crate::model::{Affinity, DEFAULT_WEIGHT, Placement, Spread};

/// Writes what a group says of its nodes.
pub(super) fn explain(lines: &mut Lines, placement: &Placement) {
    list(lines, "constraints", &placement.constraints, |lines, text| lines.item(6, text));
    list(lines, "affinities", &placement.affinities, affinity);
    list(lines, "spread", &placement.spread, spread);
    one(lines, "distinct", placement.distinct.as_deref(), "nothing");
    one(lines, "node", placement.node.as_deref(), "any");
}

fn one(lines: &mut Lines, key: &str, value: Option<&str>, otherwise: &str) {
    match value {
        Some(value) => lines.text(4, key, value),
        None if lines.wants(false) => lines.raw(4, &format!("# {key}: {otherwise}")),
        None => {}
    }
}

fn list<T>(lines: &mut Lines, key: &str, entries: &[T], write: impl Fn(&mut Lines, &T)) {
    if entries.is_empty() {
        if lines.wants(false) {
            lines.yaml(4, key, "[]");
        }
        return;
    }
    lines.open(4, key);
    entries.iter().for_each(|entry| write(lines, entry));
}

fn affinity(lines: &mut Lines, affinity: &Affinity) {
    lines.first_text(6, "if", &affinity.when);
    if lines.wants(affinity.weight != DEFAULT_WEIGHT as i8) {
        lines.yaml(8, "weight", &affinity.weight.to_string());
    }
}

fn spread(lines: &mut Lines, spread: &Spread) {
    lines.first_text(6, "over", &spread.over);
    if lines.wants(spread.weight != DEFAULT_WEIGHT) {
        lines.yaml(8, "weight", &spread.weight.to_string());
    }
    if !spread.targets.is_empty() {
        lines.open(8, "targets");
        for (value, percent) in &spread.targets {
            lines.yaml(10, value, &format!("{percent}%"));
        }
    }
}
