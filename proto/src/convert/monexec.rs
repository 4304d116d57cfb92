//! Files of monexec (github.com/reddec/monexec), a supervisor for one machine: its words, and ours for them.
//!
//! A file is one job with a group for each service, since there every service has a restart policy of its own. What monexec does by
//! default is kept, not what we do: restarts for life after a constant 6 s, SIGINT and 3 s to stop, variables of files over those of
//! the file itself.

mod duration; // as Go writes them
mod environment; // the variables of a service
mod service; // a program and how it is kept running

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::format::entry;
use super::{Converted, Note, printable};
use crate::ids::{DEFAULT_NAMESPACE, JobKey};
use crate::jobfile::Given;
use crate::jobfile::yaml::{self, Mark, Node, Reader, Value, did_you_mean, nearest, pairs, quote};
use crate::limits;
use crate::model::{Job, JobType};
use service::Service;

/// What stands beside `services`, and what is to be said of it; `critical` is taken over.
const SECTIONS: [(&str, &str); 5] = [
    ("consul", "services are not registered in Consul yet"),
    ("telegram", "no messages are sent to Telegram yet"),
    ("email", "no e-mail is sent yet"),
    ("http", "no HTTP requests are sent on changes yet"),
    ("rest", "minijob has an HTTP interface of its own, on the server's port"),
];

/// Returns the key by which a file is one of monexec's, with its place: a list of `services` that are programs, or sections of monexec
/// alone, which may lie in files of their own there.
pub(super) fn sign(root: &Node) -> Option<(Mark, &'static str)> {
    let is_program = |node: &Node| ["command", "label"].into_iter().any(|key| entry(node, key).is_some());
    if let Some((key, Node { value: Value::List(services), .. })) = entry(root, "services") {
        return services.iter().any(|node| is_program(node)).then_some((key.at, "services"));
    }
    let Value::Map(entries) = &root.value else { return None };
    let section = |key: &Node| SECTIONS.iter().map(|(name, _)| *name).find(|name| *name == key_text(key));
    let all = entries.iter().all(|(key, _)| section(key).is_some() || key_text(key) == "critical");
    entries.iter().find_map(|(key, _)| Some((key.at, section(key)?))).filter(|_| all)
}

/// Reads a file of monexec as one job, named after the file; one with a single service is named after that. A file of sections alone
/// holds no job.
///
/// Relative paths are relative to `given.base`, the folder of the file, or to the `workdir` of their service; services without one
/// start in that folder. Environment files are read now. Variables (`given.variables`) mean nothing here: monexec fills nothing in.
///
/// Its faults are all that monexec itself would stumble over, and what no job can be.
#[must_use]
pub fn convert(file: &str, text: &str, given: &Given<'_>) -> Converted {
    let mut notes = Vec::new();
    let jobs = yaml::read(file, text, |reader, root| {
        if root.is_none() {
            no_services(reader, Mark::START);
        }
        root.and_then(|root| job(reader, root, file, given, &mut notes)).into_iter().collect()
    });
    Converted { jobs, notes: bounded(notes) }
}

fn no_services(reader: &mut Reader<'_>, at: Mark) {
    reader.missing(at, "the file has no `services`", "list programs: `services: [{command: ...}]`");
}

/// Puts the notes into the order of the file, no more of them than anybody reads.
fn bounded(mut notes: Vec<Note>) -> Vec<Note> {
    // Those of one line stay as they were noted: one may follow from another.
    notes.sort_by_key(|note| note.line);
    if notes.len() > limits::ERRORS_PER_FILE {
        let last = notes[limits::ERRORS_PER_FILE - 1].line;
        let more = notes.len() - (limits::ERRORS_PER_FILE - 1);
        notes.truncate(limits::ERRORS_PER_FILE - 1);
        notes.push(Note::new(last, format!("from here on there are {more} more such notes")));
    }
    notes
}

/// What a file of monexec consists of.
#[derive(Default)]
struct Parts {
    services: Vec<Service>,
    critical: Vec<(u32, String)>,
    has_section: bool,
}

fn job(
    reader: &mut Reader<'_>,
    root: &Node,
    file: &str,
    given: &Given<'_>,
    notes: &mut Vec<Note>,
) -> Option<Job> {
    let mut parts = parts(reader, root, given, notes);
    if parts.services.is_empty() {
        if reader.count() == 0 && !parts.has_section {
            no_services(reader, root.at);
        }
        let labels: Vec<(u32, String)> = std::mem::take(&mut parts.critical);
        notes.extend(labels.into_iter().map(|(line, label)| unknown_label(line, &label)));
        return None;
    }
    mark_critical(&mut parts, notes);
    let alone = parts.services.len() == 1;
    let mut groups = BTreeMap::new();
    let mut places = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for service in parts.services {
        let name = free_name(&service.label, &taken);
        taken.insert(name.clone());
        if service.is_labelled && name != service.label {
            let text = format!("the label {} becomes the name `{name}`", quote(&service.label));
            notes.push(Note::new(service.at.line, text));
        }
        places.insert(name.clone(), service.at);
        groups.insert(name.clone(), service.into_group(name));
    }
    let stem =
        Path::new(file).file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let name = match groups.keys().next() {
        Some(only) if alone => only.clone(),
        _ => named(&stem),
    };
    let job = Job::new(JobKey::new(DEFAULT_NAMESPACE, name), JobType::Service, groups);
    if reader.count() == 0 {
        printable::check(reader, &job, root.at, |group| places.get(group).copied());
    }
    Some(job)
}

fn parts(reader: &mut Reader<'_>, root: &Node, given: &Given<'_>, notes: &mut Vec<Note>) -> Parts {
    let mut parts = Parts::default();
    for (key, value) in pairs(reader, root, "the file", "a file of monexec begins with `services:`") {
        match key_text(key) {
            _ if matches!(value.value, Value::Null) => {}
            "services" => parts.services = listed(reader, value, given, notes),
            "critical" => parts.critical = labels(reader, value),
            other => {
                parts.has_section |= SECTIONS.iter().any(|(section, _)| *section == other);
                notes.push(section(key, other));
            }
        }
    }
    parts
}

fn listed(reader: &mut Reader<'_>, node: &Node, given: &Given<'_>, notes: &mut Vec<Note>) -> Vec<Service> {
    let Value::List(items) = &node.value else {
        let hint = "write each as an entry: `- command: ...`";
        return reader.expected(node, "services", "a list of services", hint).unwrap_or_default();
    };
    if items.len() > limits::GROUPS_PER_JOB {
        let message = format!("{} services, at most {} in a file", items.len(), limits::GROUPS_PER_JOB);
        reader.fault(node.at, message, "split the file");
        return Vec::new();
    }
    items.iter().map(|item| service::service(reader, item, given, notes)).collect()
}

fn labels(reader: &mut Reader<'_>, node: &Node) -> Vec<(u32, String)> {
    let Value::List(items) = &node.value else {
        return reader.expected(node, "critical", "a list of labels", "").unwrap_or_default();
    };
    let label = |item: &std::rc::Rc<Node>| Some((item.at.line, reader.text(item, "critical")?.to_owned()));
    items.iter().filter_map(label).collect()
}

fn mark_critical(parts: &mut Parts, notes: &mut Vec<Note>) {
    let several = parts.services.len() > 1;
    for (line, label) in std::mem::take(&mut parts.critical) {
        let (mut known, mut can_end) = (false, false);
        for service in parts.services.iter_mut().filter(|service| service.label == label) {
            service.task.critical = true;
            known = true;
            can_end |= !service.is_for_life();
        }
        if !known {
            notes.push(unknown_label(line, &label));
        } else if several && can_end {
            let text = format!(
                "when {} has ended for good it is the end of all under `minijob supervise`; in a cluster the other services go on",
                quote(&label)
            );
            notes.push(Note { in_cluster_only: true, ..Note::new(line, text) });
        }
    }
}

fn unknown_label(line: u32, label: &str) -> Note {
    let text = format!("no service of this file has the label {}, so that it is not critical", quote(label));
    Note::new(line, text)
}

fn section(key: &Node, name: &str) -> Note {
    let known = SECTIONS.iter().find(|(section, _)| *section == name);
    let text = match known {
        Some((_, what)) => format!("`{name}` is not acted on: {what}"),
        None => {
            let words = SECTIONS.iter().map(|(section, _)| *section).chain(["services", "critical"]);
            let hint =
                nearest(name, words).map_or_else(String::new, |word| format!("; {}", did_you_mean(word)));
            format!("{} is no section that is known, and is left out{hint}", quote(name))
        }
    };
    Note::new(key.at.line, text)
}

/// A name by our rules that is not taken yet.
fn free_name(label: &str, taken: &BTreeSet<String>) -> String {
    let name = named(label);
    let numbered = (2..).map(|number| {
        let ending = format!("-{number}");
        let room = limits::NAME_CHARS - ending.len();
        format!("{}{ending}", name[..name.len().min(room)].trim_end_matches('-'))
    });
    std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(name)
}

/// The nearest name by our rules; `monexec` where nothing of it is left.
fn named(label: &str) -> String {
    let name = crate::names::proposed_name(label);
    if name.is_empty() { "monexec".to_owned() } else { name }
}

fn key_text(node: &Node) -> &str {
    match &node.value {
        Value::Text { text, .. } => text,
        _ => "",
    }
}

#[cfg(test)]
mod tests;
