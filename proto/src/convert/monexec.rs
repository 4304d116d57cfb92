//! Files of monexec (github.com/reddec/monexec), a supervisor for one machine: its words, and ours for them.
//!
//! A file is one job with a group for each service, since there every service has a restart policy of its own. What monexec does by
//! default is kept, not what we do: restarts for life after a constant 6 s, SIGINT and 3 s to stop, variables of files over those of
//! the file itself.

mod duration;
mod service;

use std::collections::BTreeMap;
use std::path::Path;

use super::{Converted, Note};
use crate::ids::{DEFAULT_NAMESPACE, JobKey};
use crate::jobfile::Faults;
use crate::jobfile::yaml::{self, Node, Reader, Value, did_you_mean, nearest, pairs, quote};
use crate::model::{Job, JobType};
use service::Service;

/// Reads an environment file by the path that the file names, made absolute; none: it cannot be read, which monexec does not mind.
pub type ReadFile<'r> = &'r dyn Fn(&Path) -> Option<String>;

/// What stands beside `services`, and what is to be said of it; `critical` is taken over.
const SECTIONS: [(&str, &str); 5] = [
    ("consul", "services are not registered in Consul yet"),
    ("telegram", "no messages are sent to Telegram yet"),
    ("email", "no e-mail is sent yet"),
    ("http", "no HTTP requests are sent on changes yet"),
    ("rest", "minijob has an HTTP interface of its own, on the server's port"),
];

/// Returns whether a file is one of monexec's: a list of `services` that are programs, at the top of a file that is no job.
#[must_use]
pub fn is_monexec(root: &Node) -> bool {
    let Value::Map(entries) = &root.value else { return false };
    let entry = |name: &str| entries.iter().find(|(key, _)| is_text(key, name)).map(|(_, value)| &**value);
    let ours = ["name", "command", "image", "tasks", "groups", "jobs"];
    let Some(Value::List(services)) = entry("services").map(|node| &node.value) else { return false };
    let is_program = |node: &Node| match &node.value {
        Value::Map(entries) => {
            entries.iter().any(|(key, _)| is_text(key, "command") || is_text(key, "label"))
        }
        _ => false,
    };
    ours.iter().all(|key| entry(key).is_none()) && services.iter().all(|node| is_program(node))
}

/// Reads a file of monexec as one job, named after the file; one with a single service is named after that.
///
/// `file` is the name shown in errors, `base` the absolute folder of the file: relative paths are relative to it, and services without
/// a `workdir` start in it.
///
/// # Errors
/// [`Faults`]: all that monexec itself would stumble over.
pub fn convert(file: &str, text: &str, base: Option<&Path>, read: ReadFile<'_>) -> Result<Converted, Faults> {
    yaml::read(file, text, |reader, root| {
        let mut notes = Vec::new();
        let job = root.map(|root| job(reader, root, file, &Needs { base, read }, &mut notes));
        notes.sort();
        Converted { jobs: job.into_iter().collect(), notes }
    })
}

/// What does not stand in the file.
struct Needs<'a> {
    base: Option<&'a Path>,
    read: ReadFile<'a>,
}

fn job(reader: &mut Reader<'_>, root: &Node, file: &str, needs: &Needs<'_>, notes: &mut Vec<Note>) -> Job {
    let mut services: Vec<Service> = Vec::new();
    let mut critical: Vec<(u32, String)> = Vec::new();
    for (key, value) in pairs(reader, root, "the file", "a file of monexec begins with `services:`") {
        match key_text(key) {
            "services" => services = listed(reader, value, needs, notes),
            "critical" => critical = labels(reader, value),
            other => notes.push(section(key, other)),
        }
    }
    if services.is_empty() && reader.count() == 0 {
        reader.missing(root.at, "the file has no `services`", "list programs: `services: [{command: ...}]`");
    }
    for (line, label) in critical {
        match services.iter_mut().find(|service| service.label == label) {
            Some(service) => service.task.critical = true,
            None => notes.push(Note {
                line,
                text: format!(
                    "no service of this file has the label {}, so that it is not critical",
                    quote(&label)
                ),
            }),
        }
    }
    let alone = services.len() == 1;
    let mut groups = BTreeMap::new();
    for service in services {
        let name = free_name(&service.label, &groups);
        if name != service.label {
            let text = format!("the label {} becomes the name `{name}`", quote(&service.label));
            notes.push(Note { line: service.line, text });
        }
        groups.insert(name.clone(), service.into_group(name));
    }
    let stem =
        Path::new(file).file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let name = match groups.keys().next() {
        Some(only) if alone => only.clone(),
        _ => named(&stem),
    };
    Job::new(JobKey::new(DEFAULT_NAMESPACE, name), JobType::Service, groups)
}

fn listed(reader: &mut Reader<'_>, node: &Node, needs: &Needs<'_>, notes: &mut Vec<Note>) -> Vec<Service> {
    let Value::List(items) = &node.value else {
        reader.expected::<()>(
            node,
            "services",
            "a list of services",
            "write each as an entry: `- command: ...`",
        );
        return Vec::new();
    };
    items.iter().map(|item| service::service(reader, item, needs, notes)).collect()
}

fn labels(reader: &mut Reader<'_>, node: &Node) -> Vec<(u32, String)> {
    let Value::List(items) = &node.value else {
        reader.expected::<()>(node, "critical", "a list of labels", "");
        return Vec::new();
    };
    let label = |item: &std::rc::Rc<Node>| Some((item.at.line, reader.text(item, "critical")?.to_owned()));
    items.iter().filter_map(label).collect()
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
    Note { line: key.at.line, text }
}

/// A name by our rules that is not taken yet.
fn free_name<T>(label: &str, taken: &BTreeMap<String, T>) -> String {
    let name = named(label);
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains_key(name)).unwrap_or(name)
}

/// The nearest name by our rules; `monexec` where nothing of it is left.
fn named(label: &str) -> String {
    let name = crate::names::proposed_name(label);
    if name.is_empty() { "monexec".to_owned() } else { name }
}

fn is_text(node: &Node, word: &str) -> bool {
    matches!(&node.value, Value::Text { text, .. } if text == word)
}

fn key_text(node: &Node) -> &str {
    match &node.value {
        Value::Text { text, .. } => text,
        _ => "",
    }
}

#[cfg(test)]
mod tests;
