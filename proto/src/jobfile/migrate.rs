//! `migrate`: how allocations leave a node that is drained.

use std::time::Duration;

use super::keys::Level;
use super::reader::Reader;
use super::rules;
use super::table::Table;
use super::tree::Node;
use crate::limits::ALLOCATIONS_PER_GROUP;
use crate::model::Migrate;

/// Reads `migrate`; what it does not say is the default.
pub(super) fn migrate(reader: &mut Reader<'_>, node: &Node) -> Migrate {
    let usual = Migrate::default();
    let table = Table::read(reader, node, &[Level::Migrate], "migrate");
    let most = i64::from(ALLOCATIONS_PER_GROUP);
    let parallel = table.get("max_parallel").and_then(|node| reader.whole(node, "max_parallel", 1..=most));
    let mut read = |key, usual: Duration| {
        let node = table.get(key);
        node.and_then(|node| reader.duration(node, key, Duration::ZERO)).unwrap_or(usual)
    };
    let migrate = Migrate {
        max_parallel: parallel.map_or(usual.max_parallel, |count| count as u32),
        min_healthy_time: read("min_healthy_time", usual.min_healthy_time),
        healthy_deadline: read("healthy_deadline", usual.healthy_deadline),
    };
    if !rules::is_pace(&migrate) {
        let units = crate::units::show_duration;
        let message = format!(
            "`healthy_deadline` is {}, not more than `min_healthy_time`, which is {}: nothing is healthy in time",
            units(migrate.healthy_deadline),
            units(migrate.min_healthy_time)
        );
        let key =
            if table.get("healthy_deadline").is_some() { "healthy_deadline" } else { "min_healthy_time" };
        reader.fault(
            table.key_at(key),
            message,
            "write a longer `healthy_deadline`, or a shorter `min_healthy_time`",
        );
    }
    migrate
}
