//! A group, and what its tasks share.

use std::collections::BTreeMap;
use std::time::Duration;

use super::keys::Level;
use super::names::Scope;
use super::reader::Reader;
use super::table::{Table, pairs};
use super::tree::Node;
use super::{confine, disconnect, files, migrate, per_node, placement, ports, restart, rules, task};
use crate::limits;
use crate::model::{Group, JobType, Lifecycle, Task, Volume};

/// Where the tasks of a group are described.
pub(super) enum Tasks<'a> {
    /// Under `tasks`.
    Named,
    /// In the group's own table: the short form, one task of this name.
    Only(&'a str),
}

/// Reads a group out of a table that may hold other levels' keys, too.
pub(super) fn group(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    kind: JobType,
    meta: &BTreeMap<String, String>,
    tasks: &Tasks<'_>,
) -> Group {
    let most = i64::from(limits::ALLOCATIONS_PER_GROUP);
    let count = table.get("count").and_then(|node| reader.whole(node, "count", 0..=most));
    per_node::check(reader, table, kind, count);
    let ports = table.get("ports").map(|node| ports::ports(reader, node)).unwrap_or_default();
    let restart = table.get("restart").map(|node| restart::restart(reader, node, kind));
    let reschedule = table.get("reschedule").map(|node| restart::reschedule(reader, node, kind));
    let migrate = table.get("migrate").map(|node| migrate::migrate(reader, node)).unwrap_or_default();
    let volumes = table.get("volumes").map(|node| files::volumes(reader, node)).unwrap_or_default();
    let max_run = max_run(reader, table, kind);
    let disconnect::Fence { stop_after, singleton } = disconnect::fence(reader, table, kind, count);
    let scope = Scope { meta, ports: &ports };
    let tasks = match tasks {
        Tasks::Only(name) => {
            BTreeMap::from([((*name).to_owned(), task::task(reader, table, &scope, &volumes))])
        }
        Tasks::Named => named_tasks(reader, table, &scope, &volumes),
    };
    if !tasks.is_empty() && !tasks.values().any(|task| task.lifecycle == Lifecycle::Main) {
        let at = table.get("tasks").map_or_else(|| table.key_at("lifecycle"), |node| node.at);
        let hint = "what runs before, beside or after needs a task without `lifecycle` that it belongs to";
        reader.missing(at, "the group has no main task", hint);
    }
    Group {
        kind,
        count: count.map_or(1, |count| count as u32),
        tasks,
        ports,
        restart: restart.unwrap_or(restart::default_restart(kind)),
        reschedule: reschedule.unwrap_or(restart::default_reschedule(kind)),
        volumes,
        max_run,
        placement: placement::placement(reader, table),
        // Known when all groups of the job are.
        depends_on: Vec::new(),
        migrate,
        stop_after,
        singleton,
    }
}

fn max_run(reader: &mut Reader<'_>, table: &Table<'_>, kind: JobType) -> Option<Duration> {
    let node = confine::written(table, "max_run")?;
    if !kind.has_an_end() {
        let hint = "a service runs for ever; for work that ends write `type: batch`";
        reader.fault(table.key_at("max_run"), "`max_run` is for batch jobs", hint);
        return None;
    }
    reader.duration(node, "max_run", rules::MAX_RUN_LEAST)
}

fn named_tasks(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    scope: &Scope<'_>,
    volumes: &BTreeMap<String, Volume>,
) -> BTreeMap<String, Task> {
    let hint = "for example `tasks: {server: {command: /usr/bin/my-program}}`";
    let Some(node) = table.get("tasks") else {
        table.lacks(reader, "tasks", "the group has no `tasks`", hint);
        return BTreeMap::new();
    };
    let mut tasks = BTreeMap::new();
    for (name, value) in children(reader, node, "tasks", limits::TASKS_PER_GROUP, hint) {
        let Some(name) = reader.name(name, "task") else { continue };
        let table = Table::read(reader, value, &[Level::Task], &name);
        let task = task::task(reader, &table, scope, volumes);
        tasks.insert(name, task);
    }
    tasks
}

/// Returns the entries of `groups` or `tasks`: at least one, and not too many.
pub(super) fn children<'n>(
    reader: &mut Reader<'_>,
    node: &'n Node,
    key: &str,
    most: usize,
    hint: &str,
) -> Vec<(&'n Node, &'n Node)> {
    let before = reader.count();
    let entries = pairs(reader, node, key, hint);
    if entries.len() > most {
        reader.fault(node.at, format!("{} {key}, at most {most}", entries.len()), "");
        return Vec::new();
    }
    if entries.is_empty() && reader.count() == before {
        reader.missing(node.at, format!("`{key}` is empty"), hint);
    }
    entries
}
