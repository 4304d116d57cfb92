//! A file: one job, several documents, or a list under `jobs`.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::Faults;
use super::given::{Assigned, Given};
use super::reader::{Reader, quote};
use super::source::{Mark, Source};
use super::table::pairs;
use super::tree::{self, Node, Value};
use super::{Read, formats, job, yaml};
use crate::ids::JobKey;
use crate::limits;
use crate::model::Job;

/// Reads all jobs of a file, or finds all its faults.
pub(super) fn read(file: &str, text: &str, given: &Given<'_>) -> Read {
    if text.len() > limits::JOB_FILE_BYTES {
        let source = Source::new(file, "");
        let message = format!("the file has {} bytes, at most {}", text.len(), limits::JOB_FILE_BYTES);
        let faults = Faults(vec![source.fault(Mark::START, message, String::new())]);
        return Read { jobs: Err(faults), variables: BTreeSet::new() };
    }
    let source = Source::new(file, text);
    let mut reader = Reader::new(&source, given);
    let jobs =
        if formats::foreign_text(&mut reader, &source) { Vec::new() } else { jobs(&mut reader, &source) };
    let variables = std::mem::take(&mut reader.declared);
    let jobs = match reader.finish() {
        Some(faults) => Err(faults),
        None => Ok(jobs),
    };
    Read { jobs, variables }
}

/// Reads a file of values for variables: one mapping of names to scalars.
pub(super) fn values(file: &str, text: &str) -> Result<Vec<Assigned>, Faults> {
    yaml::read(file, text, |reader, root| {
        let hint = "a file of variables is one mapping: `NAME: VALUE`";
        let lines = root.map_or_else(Vec::new, |root| pairs(reader, root, "the file", hint));
        let mut values = Vec::new();
        for (key, node) in lines {
            let Some(name) = reader.text(key, "a name") else { continue };
            let Some(value) = reader.text(node, name) else { continue };
            let message = format!("no job declares the variable {}", quote(name));
            let unknown = reader.described(key.at, message, String::new());
            values.push(Assigned { name: name.to_owned(), value: value.to_owned(), unknown });
        }
        values
    })
}

fn jobs(reader: &mut Reader<'_>, source: &Source<'_>) -> Vec<Job> {
    let documents = tree::read(source);
    for flaw in documents.flaws {
        reader.fault(flaw.at, flaw.message, flaw.hint);
    }
    let broken = documents.broken.is_some();
    if let Some(flaw) = documents.broken {
        reader.fault(flaw.at, flaw.message, flaw.hint);
        reader.broken_from(documents.sure_before);
    }
    let mut nodes: Vec<&Node> = Vec::new();
    for root in &documents.roots {
        let empty = matches!(root.value, Value::Null);
        if !empty && is_job(reader, root) && !formats::foreign(reader, root) {
            listed(reader, root, &mut nodes);
        }
    }
    if nodes.is_empty() && !broken && reader.count() == 0 {
        let hint = "a job file begins with `name: ...` and `command: ...`";
        reader.missing(Mark::START, "the file holds no job", hint);
    }
    if nodes.len() > limits::JOBS_PER_FILE {
        let message = format!("{} jobs in one file, at most {}", nodes.len(), limits::JOBS_PER_FILE);
        reader.fault(nodes[limits::JOBS_PER_FILE].at, message, "split the file");
        nodes.clear();
    }
    nodes.retain(|node| is_job(reader, node));
    let mut jobs = Vec::new();
    let mut seen: BTreeMap<JobKey, Mark> = BTreeMap::new();
    for node in nodes {
        let (job, at) = job::job(reader, node);
        let nameless = job.key.name.is_empty();
        if let Some(before) = seen.insert(job.key.clone(), at).filter(|_| !nameless) {
            let message = format!(
                "a second job named {}, the first is on line {}",
                quote(&job.key.to_string()),
                before.line
            );
            reader.fault(at, message, "names are unique in their namespace");
        }
        jobs.push(job);
    }
    jobs
}

/// Notes a fault for what cannot be a job at all.
fn is_job(reader: &mut Reader<'_>, node: &Node) -> bool {
    let is_map = matches!(node.value, Value::Map(_));
    if !is_map {
        let message = format!("expected a job, not {}", super::reader::shown(node));
        let hint = match node.value {
            Value::List(_) => {
                "several jobs go under `jobs`, as in `{jobs: [{name: a, command: b}]}`, or are parted by `---`"
            }
            _ => "a job begins with `name: ...` and `command: ...`",
        };
        reader.missing(node.at, message, hint);
    }
    is_map
}

/// Adds the jobs of one document: those under `jobs`, or the document itself.
fn listed<'n>(reader: &mut Reader<'_>, root: &'n Node, nodes: &mut Vec<&'n Node>) {
    let Value::Map(pairs) = &root.value else { return nodes.push(root) };
    let is_jobs = |key: &Node| matches!(&key.value, Value::Text { text, .. } if text == "jobs");
    let Some((_, list)) = pairs.iter().find(|(key, _)| is_jobs(key)) else { return nodes.push(root) };
    for (key, _) in pairs.iter().filter(|(key, _)| !is_jobs(key)) {
        let message = format!("{} cannot stand beside `jobs`", super::reader::shown(key));
        reader.fault(key.at, message, "it goes into one of the jobs of the list");
    }
    match &list.value {
        Value::List(items) => nodes.extend(items.iter().map(|item| &**item)),
        _ => {
            let hint = "write each job as an entry: `- name: ...`";
            reader.expected::<()>(list, "jobs", "a list of jobs", hint);
        }
    }
}
