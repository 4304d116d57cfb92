//! `logs`: what is kept of a task's output, and where else it goes.

use std::time::Duration;

use super::keys::Level;
use super::names::{Env, Scope};
use super::reader::Reader;
use super::table::Table;
use super::tree::Node;
use super::{confine, paths, rules};
use crate::model::LogPolicy;

/// Reads `logs`; what it does not say is the default.
pub(super) fn logs(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>, known: &Env<'_>) -> LogPolicy {
    let table = Table::read(reader, node, &[Level::Logs], "logs");
    let default = LogPolicy::default();
    let files = table.get("max_files").and_then(|node| reader.whole(node, "max_files", 1..=1000));
    let least = rules::LOG_FILE_LEAST;
    let size = table.get("max_file_size").and_then(|node| reader.size(node, "max_file_size", least));
    let retain = table.get("retain").and_then(|node| reader.duration(node, "retain", Duration::ZERO));
    let to = confine::written(&table, "to").and_then(|node| reader.word(node, "to", &[("journald", true)]));
    LogPolicy {
        max_files: files.map_or(default.max_files, |files| files as u32),
        max_file_bytes: size.unwrap_or(default.max_file_bytes),
        retain: retain.unwrap_or(default.retain),
        file: confine::written(&table, "file")
            .and_then(|node| paths::of_node_filled(reader, node, "file", scope, known)),
        journald: to.unwrap_or(false),
    }
}
