//! Which `${...}` a task may use, checked at submit time, each fault at its own place.

use std::collections::BTreeMap;

use super::interpolate::{Part, parts};
use super::reader::{Reader, did_you_mean, nearest, quote};
use super::rules::{is_fact, is_key};
use super::tree::Node;
use crate::model::Port;

/// What a task is within: known before the task is read.
pub(super) struct Scope<'s> {
    pub meta: &'s BTreeMap<String, String>,
    pub ports: &'s BTreeMap<String, Port>,
}

/// Which variables `${env.NAME}` may name at a place.
pub(super) struct Env<'e> {
    /// The task's own, where they may be named: not among themselves.
    pub own: Option<&'e BTreeMap<String, String>>,
    /// What files that travel with the job say, where it is filled in at once.
    pub files: Option<&'e BTreeMap<String, String>>,
    /// Whether files of the node may say more.
    pub on_node: bool,
}

impl Env<'_> {
    /// What a task gets of the agent's environment.
    const INHERITED: [&'static str; 4] = ["PATH", "HOME", "LANG", "TZ"];

    fn knows(&self, name: &str) -> bool {
        let has = |variables: Option<&BTreeMap<String, String>>| {
            variables.is_some_and(|all| all.contains_key(name))
        };
        let is_given = Self::INHERITED.contains(&name) || is_fact(name);
        is_given || has(self.own) || has(self.files) || (self.on_node && is_key(name))
    }

    /// Fills in what files that travel with the job say: their variables are not there before those of `env`.
    pub fn with_files(&self, text: &str) -> String {
        let Some(files) = self.files.filter(|files| !files.is_empty()) else { return text.to_owned() };
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        for part in parts(text) {
            // As it is written: `parts` leaves the sign of an escape out.
            let length = match part {
                Part::Text("${") => 3,
                Part::Text(plain) => plain.len(),
                Part::Name(name) => name.len() + 3,
                Part::Unclosed(name) => name.len() + 2,
            };
            let (written, after) = rest.split_at(length);
            rest = after;
            let value = match part {
                Part::Name(name) => name.strip_prefix("env.").and_then(|name| files.get(name)),
                _ => None,
            };
            match value {
                Some(value) => filled.push_str(&value.replace("${", "$${")),
                None => filled.push_str(written),
            }
        }
        filled
    }

    fn hint(&self, member: &str) -> String {
        let names = self.own.into_iter().chain(self.files).flat_map(BTreeMap::keys).map(String::as_str);
        match nearest_exact(member, names.chain(Self::INHERITED)) {
            Some(near) => did_you_mean(&format!("${{env.{near}}}")),
            None if self.own.is_none() => {
                "`env` may use PATH, HOME, LANG, TZ, MINIJOB_* and what `env_files` say".to_owned()
            }
            None => "a task has PATH, HOME, LANG, TZ, MINIJOB_*, and what its `env` and `env_files` say"
                .to_owned(),
        }
    }
}

/// Returns the nearest of some names whose case matters.
fn nearest_exact<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let lower: Vec<(String, &str)> = words.map(|word| (word.to_ascii_lowercase(), word)).collect();
    let near = nearest(text, lower.iter().map(|(lower, _)| lower.as_str()))?.to_owned();
    lower.iter().find(|(lower, _)| *lower == near).map(|(_, word)| *word)
}

const PLAIN: [&str; 6] = ["job.name", "group.name", "alloc.id", "alloc.index", "node.name", "node.address"];

impl Scope<'_> {
    /// Notes a fault for every `${...}` of a text that stands for nothing.
    pub fn check(&self, reader: &mut Reader<'_>, node: &Node, text: &str, env: &Env<'_>) {
        for part in parts(text) {
            match part {
                Part::Text(_) => {}
                Part::Unclosed(_) => {
                    let hint = "close it with `}`, or write `$${` for a literal `${`";
                    reader.fault_within(node, "${", "`${` is never closed", hint);
                }
                Part::Name(name) => self.check_name(reader, node, name, env),
            }
        }
    }

    fn check_name(&self, reader: &mut Reader<'_>, node: &Node, name: &str, env: &Env<'_>) {
        let written = format!("${{{name}}}");
        let (family, member) = name.split_once('.').unwrap_or((name, ""));
        let (message, hint) = match family {
            _ if PLAIN.contains(&name) => return,
            "port" | "addr" if self.ports.contains_key(member) => return,
            "meta" if self.meta.contains_key(member) => return,
            "port" | "addr" => {
                let known = self.ports.keys().map(String::as_str);
                let hint = members(family, member, known, "the group has no `ports`");
                (format!("{} names no port of the group", quote(&written)), hint)
            }
            "meta" => {
                let known = self.meta.keys().map(String::as_str);
                let hint = members(family, member, known, "the job has no `meta`");
                (format!("{} names no entry of `meta`", quote(&written)), hint)
            }
            "env" if env.knows(member) => return,
            "env" => (format!("{} names no variable of the task", quote(&written)), env.hint(member)),
            // Which attributes a node has is known only there.
            "attr" if is_key(member) => return,
            _ => {
                let near = nearest(name, PLAIN.into_iter()).map(|word| format!("${{{word}}}"));
                let literal = || format!("a literal one is written `${written}`");
                let hint = near.map_or_else(literal, |word| did_you_mean(&word));
                (format!("{} is not a known name", quote(&written)), hint)
            }
        };
        reader.fault_within(node, &written, message, hint);
    }
}

fn members<'k>(
    family: &str,
    member: &str,
    known: impl Iterator<Item = &'k str> + Clone,
    none: &str,
) -> String {
    if let Some(near) = nearest(member, known.clone()) {
        return did_you_mean(&format!("${{{family}.{near}}}"));
    }
    let all: Vec<String> = known.take(10).map(|name| format!("`${{{family}.{name}}}`")).collect();
    if all.is_empty() { none.to_owned() } else { format!("there is {}", all.join(", ")) }
}
