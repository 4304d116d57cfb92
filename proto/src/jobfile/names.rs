//! Which `${...}` a task may use, checked at submit time, each fault at its own place.

use std::collections::BTreeMap;

use super::interpolate::{Part, parts};
use super::reader::{Reader, did_you_mean, nearest, quote};
use super::tree::Node;
use crate::model::Port;

/// What a task is within: known before the task is read.
pub(super) struct Scope<'s> {
    pub meta: &'s BTreeMap<String, String>,
    pub ports: &'s BTreeMap<String, Port>,
}

const PLAIN: [&str; 6] = ["job.name", "group.name", "alloc.id", "alloc.index", "node.name", "node.address"];

impl Scope<'_> {
    /// Notes a fault for every `${...}` of a text that stands for nothing.
    pub fn check(&self, reader: &mut Reader<'_>, node: &Node, text: &str) {
        for part in parts(text) {
            match part {
                Part::Text(_) => {}
                Part::Unclosed(_) => {
                    let hint = "close it with `}`, or write `$${` for a literal `${`";
                    reader.fault_within(node, "${", "`${` is never closed", hint);
                }
                Part::Name(name) => self.check_name(reader, node, name),
            }
        }
    }

    fn check_name(&self, reader: &mut Reader<'_>, node: &Node, name: &str) {
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
            "env" | "attr" | "var" => {
                let hint = "write the value itself; `$${` is a literal `${`";
                (format!("{} is not supported yet", quote(&written)), hint.to_owned())
            }
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
