//! Nodes in tables.

use proto::model::{Eligibility, Liveness, Resources};
use proto::time::Timestamp;
use proto::units::show_cpu;
use proto::view::{NodeStatus, NodeView};

use super::drain;
use crate::commands::events;
use crate::commands::status::job::state;
use crate::exit::Failure;
use crate::output::{Cell, Out, Table, Tone, ago, behind, relative};

/// Shows all nodes.
pub(super) fn list(out: &mut Out, nodes: &[NodeView], now: Timestamp) -> Result<(), Failure> {
    if nodes.is_empty() {
        return out.line("no nodes; `minijob agent` on a machine makes it one");
    }
    let headings = ["NODE", "STATE", "SINCE", "ADDRESS", "VERSION", "CPU", "MEMORY", "ALLOCATIONS"];
    let mut table = Table::new(out, &headings);
    for node in nodes {
        table.row(vec![
            Cell::toned(Tone::Strong, &node.name),
            word(node),
            ago(now, node.since).into(),
            node.address.as_str().into(),
            node.version.as_str().into(),
            cpu(node.used, node.capacity).into(),
            memory(node.used, node.capacity).into(),
            node.allocs.to_string().into(),
        ]);
    }
    out.line(&table.render())
}

/// Shows one node.
pub(super) fn one(out: &mut Out, status: &NodeStatus, now: Timestamp) -> Result<(), Failure> {
    let node = &status.node;
    out.line(&format!("{}  {}", out.paint.text(Tone::Strong, &node.name), word(node).painted(out.paint)))?;
    let mut facts = vec![
        ("id", node.id.to_string()),
        ("address", node.address.clone()),
        ("version", node.version.clone()),
        ("since", ago(now, node.since)),
        ("cpu", cpu(node.used, node.capacity)),
        ("memory", memory(node.used, node.capacity)),
    ];
    facts.extend(node.drain.as_ref().map(|one| ("drain", drain::told(one, now))));
    facts.extend(node.failure_domain.clone().map(|domain| ("failure domain", domain)));
    facts.extend(node.attributes.iter().map(|(key, value)| (key.as_str(), value.clone())));
    let width = facts.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0) + 2;
    for (key, value) in &facts {
        out.line(&format!("{}{value}", out.paint.text(Tone::Dim, &format!("{key:<width$}"))))?;
    }
    if !status.running.is_empty() {
        let mut table = Table::new(out, &["ALLOCATION", "ID", "VERSION", "STATE", "SINCE"]);
        for alloc in &status.running {
            let id: String = alloc.id.to_string().chars().take(8).collect();
            table.row(vec![
                alloc.name.as_str().into(),
                id.into(),
                alloc.version.to_string().into(),
                state(alloc, alloc.tasks.first().filter(|_| alloc.tasks.len() == 1)),
                ago(now, alloc.created_at).into(),
            ]);
        }
        out.line("")?;
        out.line(&table.render())?;
    }
    if !status.events.is_empty() {
        out.line("")?;
    }
    for event in &status.events {
        let (tone, _) = events::severity(event.severity);
        let text = behind(
            &format!("{:>10}  ", ago(now, event.time)),
            &relative(&event.message, event.time),
            out.width,
        );
        out.toned(tone, &text)?;
    }
    Ok(())
}

fn word(node: &NodeView) -> Cell {
    let drain = node.drain.as_ref().map(|drain| drain.state.as_str());
    if let Some(state) = drain {
        return match node.liveness {
            Liveness::Down => Cell::toned(Tone::Bad, format!("down, {state}")),
            Liveness::Up => Cell::toned(Tone::Warn, state),
        };
    }
    match (node.liveness, node.eligibility) {
        (Liveness::Down, Eligibility::Cordoned) => Cell::toned(Tone::Bad, "down, cordoned"),
        (Liveness::Down, Eligibility::Eligible) => Cell::toned(Tone::Bad, "down"),
        (Liveness::Up, Eligibility::Cordoned) => Cell::toned(Tone::Warn, "cordoned"),
        (Liveness::Up, Eligibility::Eligible) => Cell::toned(Tone::Good, "up"),
    }
}

/// `250m of 4`.
fn cpu(used: Resources, capacity: Resources) -> String {
    let shown = |millis: u64| show_cpu(u32::try_from(millis).unwrap_or(u32::MAX));
    format!("{} of {}", shown(used.cpu_millis), shown(capacity.cpu_millis))
}

/// `64MiB of 7.8GiB`.
fn memory(used: Resources, capacity: Resources) -> String {
    format!("{} of {}", size(used.memory_bytes), size(capacity.memory_bytes))
}

/// A size as people say it; a machine's memory is no round number.
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes / MIB {
        0 => format!("{bytes}B"),
        mib @ 1..1024 => format!("{mib}MiB"),
        mib => format!("{}.{}GiB", mib / 1024, mib % 1024 * 10 / 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_to_two_figures() {
        assert_eq!([0, 32 << 20, 8 << 30, 8_345_088_000].map(size), ["0B", "32MiB", "8.0GiB", "7.7GiB"]);
    }
}
