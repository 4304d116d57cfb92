//! A mapping whose keys have been checked against the levels it may hold.

use std::collections::BTreeMap;

use super::keys::{self, Key, Level, Shape};
use super::reader::{Reader, did_you_mean, nearest, quote};
use super::source::Mark;
use super::tree::{Node, Value};

/// The entries of a mapping that are acted on.
pub(super) struct Table<'n> {
    /// Where the mapping begins.
    pub at: Mark,
    entries: BTreeMap<&'n str, (&'n Node, &'n Node)>,
    /// Known keys that were refused.
    refused: Vec<&'static str>,
    /// Known keys that unknown ones resemble.
    meant: Vec<&'static str>,
    is_map: bool,
}

impl<'n> Table<'n> {
    /// Checks a mapping's keys: unknown ones, those of other levels, those not acted on yet and those written twice are
    /// faults. An empty value is an empty mapping; anything else is a fault and one, too.
    pub fn read(reader: &mut Reader<'_>, node: &'n Node, levels: &[Level], what: &str) -> Self {
        let is_map = matches!(node.value, Value::Map(_) | Value::Null);
        let mut table =
            Self { at: node.at, entries: BTreeMap::new(), refused: Vec::new(), meant: Vec::new(), is_map };
        for (key, value) in pairs(reader, node, what, "") {
            let name = match &key.value {
                Value::Text { text, .. } => text.as_str(),
                _ => "",
            };
            match keys::find(levels, name) {
                Some(Key { later: Some(_), shape: Shape::Table(level), .. })
                    if matches!(value.value, Value::Map(_)) =>
                {
                    Self::read(reader, value, &[*level], name);
                }
                Some(known @ Key { later: Some(why), .. }) => {
                    if !says_nothing(value, known.default) {
                        table.refused.push(known.name);
                        reader.fault(key.at, format!("`{name}` is not supported yet"), *why);
                    }
                }
                Some(_) => {
                    table.entries.insert(name, (key, value));
                }
                None => table.meant.extend(unknown(reader, key, name, levels)),
            }
        }
        table
    }

    /// Returns the value of a key.
    pub fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries.get(name).map(|(_, value)| *value)
    }

    /// Returns where a key stands.
    pub fn key_at(&self, name: &str) -> Mark {
        self.entries.get(name).map_or(self.at, |(key, _)| key.at)
    }

    /// Notes that a key is not there, unless what stands there is no mapping at all, or the key is [refused](Self::refused).
    pub fn lacks(&self, reader: &mut Reader<'_>, key: &str, message: &str, hint: &str) {
        if self.is_map && !self.refused(key) {
            reader.missing(self.at, message, hint);
        }
    }

    /// Returns whether a key was written that is known and was refused, or that was said to be this one mistyped, so that
    /// what it would have said is not missing.
    pub fn refused(&self, name: &str) -> bool {
        self.refused.contains(&name) || self.meant.contains(&name)
    }
}

/// Returns the entries of a mapping, each key once and a text. Nothing written is an empty mapping.
pub fn pairs<'n>(
    reader: &mut Reader<'_>,
    node: &'n Node,
    what: &str,
    hint: &str,
) -> Vec<(&'n Node, &'n Node)> {
    let pairs = match &node.value {
        Value::Map(pairs) => pairs,
        Value::Null => return Vec::new(),
        _ => {
            reader.expected::<()>(node, what, "a mapping (`key: value`)", hint);
            return Vec::new();
        }
    };
    let mut first: BTreeMap<&str, Mark> = BTreeMap::new();
    let mut kept = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let Value::Text { text, .. } = &key.value else {
            let hint = "quote a text that begins with `{`, `[` or `?`";
            reader.fault(key.at, "a key must be a text", hint);
            continue;
        };
        if text == "<<" {
            let hint = "use an alias for a whole value, such as `env: *name`";
            reader.fault(key.at, "merging with `<<` is not supported", hint);
            continue;
        }
        if let Some(before) = first.get(text.as_str()) {
            let message = format!("{} is written twice, first on line {}", quote(text), before.line);
            reader.fault(key.at, message, "");
            continue;
        }
        first.insert(text, key.at);
        kept.push((&**key, &**value));
    }
    kept
}

/// Returns whether a value says the same as leaving its key out.
pub(super) fn says_nothing(value: &Node, default: &str) -> bool {
    match &value.value {
        Value::Null => true,
        Value::Text { text, .. } => !default.is_empty() && text == default,
        Value::List(items) => items.is_empty(),
        Value::Map(pairs) => pairs.is_empty(),
    }
}

/// Notes what is wrong with a key, and returns the one of these levels that was probably meant.
fn unknown(reader: &mut Reader<'_>, key: &Node, name: &str, levels: &[Level]) -> Option<&'static str> {
    if reader.full() {
        return None;
    }
    if let Some(level) = keys::elsewhere(levels, name) {
        let message = format!("`{name}` belongs to {}", level.owner());
        reader.fault(key.at, message, home(name, level, levels));
        return None;
    }
    let meant = keys::similar(levels, name);
    let hint = meant.map_or_else(|| elsewhere_or_all(levels, name), did_you_mean);
    reader.fault(key.at, format!("unknown key {}", quote(name)), hint);
    meant
}

/// Returns the hint for a key that resembles none of its level.
fn elsewhere_or_all(levels: &[Level], name: &str) -> String {
    let others = Level::MISSED.iter().flat_map(|level| level.keys()).filter(|key| key.later.is_none());
    let near = nearest(name, others.map(|key| key.name));
    if let Some((word, level)) = near.and_then(|word| Some((word, keys::elsewhere(levels, word)?))) {
        return format!("did you mean `{word}`, which belongs to {}?", level.owner());
    }
    let acted = levels.iter().flat_map(|level| level.keys()).filter(|key| key.later.is_none());
    let names: Vec<&str> = acted.map(|key| key.name).collect();
    format!("keys that can stand here: {}", names.join(", "))
}

/// Says where a key of another level goes.
fn home(name: &str, level: Level, here: &[Level]) -> String {
    match level {
        Level::Task if here.contains(&Level::Job) && here.contains(&Level::Group) => {
            format!("this file has `tasks`, so it goes into one of them: `tasks: {{NAME: {{{name}: ...}}}}`")
        }
        Level::Task if here.contains(&Level::Job) => format!(
            "this file has `groups`, so it goes into a task: `groups: {{NAME: {{tasks: {{NAME: {{{name}: ...}}}}}}}}`"
        ),
        Level::Task if here.contains(&Level::Group) => {
            format!("it goes into one of its tasks: `tasks: {{NAME: {{{name}: ...}}}}`")
        }
        Level::Group if here.contains(&Level::Job) => {
            format!(
                "this file has `groups`, so it goes into one of them: `groups: {{NAME: {{{name}: ...}}}}`"
            )
        }
        Level::Group if here.contains(&Level::Task) => "it goes beside `tasks`, one level up".to_owned(),
        Level::Job if name == "name" => {
            "groups and tasks are named by their keys: `tasks: {NAME: {...}}`".to_owned()
        }
        Level::Job => "it goes to the top of the file, beside `name`".to_owned(),
        Level::Restart => format!("write `restart: {{{name}: ...}}`"),
        Level::Reschedule => format!("write `reschedule: {{{name}: ...}}`"),
        Level::Resources => format!("write `resources: {{{name}: ...}}`"),
        Level::Logs => format!("write `logs: {{{name}: ...}}`"),
        Level::Port => format!("write `ports: {{NAME: {{{name}: ...}}}}`"),
        _ => String::new(),
    }
}
