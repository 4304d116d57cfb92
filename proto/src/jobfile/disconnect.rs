//! `disconnect` and `singleton`: what becomes of work whose node cannot reach the servers.

use std::time::Duration;

use super::keys::Level;
use super::reader::Reader;
use super::table::Table;
use super::{confine, rules};
use crate::model::JobType;
use crate::units::show_duration;

/// What a group says of its fence.
#[derive(Default)]
pub(super) struct Fence {
    pub(super) stop_after: Option<Duration>,
    pub(super) singleton: bool,
}

/// Reads both keys out of a group's table.
pub(super) fn fence(reader: &mut Reader<'_>, table: &Table<'_>, kind: JobType, count: Option<i64>) -> Fence {
    let stop_after = table.get("disconnect").and_then(|node| {
        let table = Table::read(reader, node, &[Level::Disconnect], "disconnect");
        let node = confine::written(&table, "stop_after")?;
        let after = reader.duration(node, "stop_after", rules::STOP_AFTER_LEAST)?;
        if after > rules::STOP_AFTER_MOST {
            let most = show_duration(rules::STOP_AFTER_MOST);
            let hint = "a replacement waits as long, because until then the first may run";
            reader.fault(node.at, format!("`stop_after` is {}, at most {most}", show_duration(after)), hint);
        }
        Some(after)
    });
    let singleton = table.get("singleton").and_then(|node| reader.bool(node, "singleton")).unwrap_or(false);
    if singleton && kind.is_per_node() {
        let message = format!("a `{kind}` group runs once on every node, so it is no `singleton`");
        let hint = "write `disconnect: {stop_after: 10s}` for work that must not go on where servers are out of reach";
        reader.fault(table.key_at("singleton"), message, hint);
    } else if let Some(count) = count.filter(|count| singleton && *count > 1) {
        let message = format!("`singleton` is for one allocation, and `count` is {count}");
        let hint =
            "`count: 1`, or `disconnect: {stop_after: 10s}` in its place: none of them runs twice then";
        reader.fault(table.key_at("singleton"), message, hint);
    }
    Fence { stop_after, singleton }
}
