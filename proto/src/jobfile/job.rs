//! A job: which of the three forms its file has, and what belongs to the job as a whole.

use std::collections::BTreeMap;

use super::depends::Dependencies;
use super::group::{Tasks, children, group};
use super::keys::Level;
use super::placement::{inherited, placement};
use super::reader::{Reader, quote};
use super::rules::is_key;
use super::source::Mark;
use super::table::{Table, pairs};
use super::tree::{Node, Value};
use super::variables;
use crate::ids::JobKey;
use crate::limits;
use crate::model::{DEFAULT_NAMESPACE, DEFAULT_PRIORITY, Group, Job, JobType, stored_size};

/// The three ways to write a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `command` at the top: one group and one task, both named after the job.
    Short,
    /// `tasks` at the top: one group named after the job.
    Tasks,
    /// `groups` at the top.
    Full,
}

/// Reads a job, and returns it with the place of its name; both make sense only if no fault was noted.
pub(super) fn job(reader: &mut Reader<'_>, node: &Node) -> (Job, Mark) {
    let before = reader.count();
    reader.file_bytes = 0;
    let filled = variables::fill(reader, node);
    let node = filled.as_ref().unwrap_or(node);
    let form = form(node);
    let levels: &[Level] = match form {
        Form::Short => &[Level::Job, Level::Group, Level::Task],
        Form::Tasks => &[Level::Job, Level::Group],
        Form::Full => &[Level::Job],
    };
    let table = Table::read(reader, node, levels, "a job");
    let name = name(reader, &table);
    let namespace = table.get("namespace").and_then(|node| reader.name(node, "namespace"));
    let kind = table.get("type").and_then(|node| kind(reader, node)).unwrap_or(JobType::Service);
    let priority = table.get("priority").and_then(|node| reader.whole(node, "priority", 1..=100));
    let meta = table.get("meta").map(|node| meta(reader, node)).unwrap_or_default();
    let mut dependencies = Dependencies::default();
    let mut groups = match form {
        Form::Short => {
            BTreeMap::from([(name.clone(), group(reader, &table, kind, &meta, &Tasks::Only(&name)))])
        }
        Form::Tasks => BTreeMap::from([(name.clone(), group(reader, &table, kind, &meta, &Tasks::Named))]),
        Form::Full => groups(reader, &table, kind, &meta, &mut dependencies),
    };
    if form != Form::Full {
        dependencies.read(reader, &name, &table);
    }
    dependencies.settle(reader, &name, &mut groups);
    let job = Job {
        key: JobKey::new(namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()), name),
        kind,
        priority: priority.map_or(DEFAULT_PRIORITY, |priority| priority as u8),
        meta,
        groups,
        origin: None,
    };
    let at = table.get("name").map_or(table.at, |node| node.at);
    if reader.count() == before {
        check_size(reader, &job, at);
    }
    (job, at)
}

fn form(node: &Node) -> Form {
    let Value::Map(pairs) = &node.value else { return Form::Short };
    let has = |name: &str| {
        pairs.iter().any(|(key, _)| matches!(&key.value, Value::Text { text, .. } if text == name))
    };
    match (has("groups"), has("tasks")) {
        (true, _) => Form::Full,
        (false, true) => Form::Tasks,
        (false, false) => Form::Short,
    }
}

fn name(reader: &mut Reader<'_>, table: &Table<'_>) -> String {
    match table.get("name") {
        // What is no text is told by its key, what is no name by what it would name.
        Some(node) => reader.text(node, "name").and_then(|_| reader.name(node, "job")).unwrap_or_default(),
        None => {
            table.lacks(reader, "name", "the job has no `name`", "for example `name: hello`");
            String::new()
        }
    }
}

fn kind(reader: &mut Reader<'_>, node: &Node) -> Option<JobType> {
    reader.word(node, "type", &JobType::ALL.map(|kind| (kind.word(), kind)))
}

fn meta(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, String> {
    let entries = pairs(reader, node, "meta", "write `meta: {owner: shop}`");
    if entries.len() > limits::META_ENTRIES {
        let message = format!("{} entries of `meta`, at most {}", entries.len(), limits::META_ENTRIES);
        reader.fault(node.at, message, "");
    }
    let mut meta = BTreeMap::new();
    for (key, value) in entries {
        let Some(name) = reader.text(key, "meta") else { continue };
        if !is_key(name) {
            let hint = "letters, digits, `_`, `-` and `.`, not a digit first, at most 255 characters";
            reader.fault(key.at, format!("{} is not a name of an entry of `meta`", quote(name)), hint);
        }
        let text = reader.text(value, name).unwrap_or_default();
        meta.insert(name.to_owned(), text.to_owned());
    }
    meta
}

fn groups(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    kind: JobType,
    meta: &BTreeMap<String, String>,
    dependencies: &mut Dependencies,
) -> BTreeMap<String, Group> {
    let hint = "for example `groups: {api: {tasks: {server: {command: /usr/bin/my-program}}}}`";
    let Some(node) = table.get("groups") else { return BTreeMap::new() };
    let of_job = placement(reader, table);
    let mut groups = BTreeMap::new();
    for (name, value) in children(reader, node, "groups", limits::GROUPS_PER_JOB, hint) {
        let Some(name) = reader.name(name, "group") else { continue };
        let table = Table::read(reader, value, &[Level::Group], &name);
        let kind = table.get("type").and_then(|node| self::kind(reader, node)).unwrap_or(kind);
        let mut group = group(reader, &table, kind, meta, &Tasks::Named);
        group.placement = inherited(&of_job, group.placement, kind);
        dependencies.read(reader, &name, &table);
        groups.insert(name, group);
    }
    groups
}

fn check_size(reader: &mut Reader<'_>, job: &Job, at: Mark) {
    let size = stored_size(job);
    if size > limits::JOB_STORED_BYTES {
        let most = limits::JOB_STORED_BYTES;
        let message = format!("the job takes {size} bytes as it is stored, at most {most}");
        reader.fault(at, message, "split it into several jobs, or shorten `args`, `env` and `files`");
    }
}
