//! A mapping of a configuration file whose keys are checked: unknown ones, and those that a later version acts on, are faults.

use std::collections::BTreeMap;

use proto::yaml::{Node, Reader, Value, did_you_mean, nearest, pairs, quote};

use super::origin::{Origin, Setting};

/// A key of a file.
pub(super) struct Key {
    /// As it is written.
    pub name: &'static str,
    /// Why it is refused where it says more than leaving it out; none if it is acted on.
    pub later: Option<&'static str>,
    /// The text that says the same as leaving it out; empty if there is none.
    pub default: &'static str,
}

/// A key that is acted on.
pub(super) const fn acted(name: &'static str) -> Key {
    Key { name, later: None, default: "" }
}

/// A key that a later version acts on.
pub(super) const fn later(name: &'static str, why: &'static str) -> Key {
    Key { name, later: Some(why), default: "" }
}

/// A key that a later version acts on, with the value that holds until then.
pub(super) const fn later_unless(name: &'static str, default: &'static str, why: &'static str) -> Key {
    Key { name, later: Some(why), default }
}

/// The entries of a mapping that are acted on.
pub(super) struct Table<'n> {
    path: &'n str,
    entries: BTreeMap<&'static str, (&'n Node, &'n Node)>,
}

impl<'n> Table<'n> {
    /// Checks a mapping's keys. `path` names the file in origins.
    pub fn read(
        reader: &mut Reader<'_>,
        path: &'n str,
        node: Option<&'n Node>,
        keys: &'static [Key],
        what: &str,
    ) -> Self {
        let mut table = Self { path, entries: BTreeMap::new() };
        let Some(node) = node else { return table };
        for (key, value) in pairs(reader, node, what, "") {
            let name = match &key.value {
                Value::Text { text, .. } => text.as_str(),
                _ => "",
            };
            match keys.iter().find(|known| known.name == name) {
                Some(Key { later: Some(why), default, .. }) => {
                    if !says_nothing(value, default) {
                        reader.fault(key.at, format!("`{name}` is not supported yet"), *why);
                    }
                }
                Some(known) => {
                    table.entries.insert(known.name, (key, value));
                }
                None => unknown(reader, key, name, keys),
            }
        }
        table
    }

    /// Returns the value of a key; one without a value counts as left out.
    pub fn node(&self, name: &str) -> Option<&'n Node> {
        self.entries.get(name).map(|(_, value)| *value).filter(|node| !matches!(node.value, Value::Null))
    }

    /// Reads the value of a key, if it is there; what cannot be read is a fault and counts as left out.
    pub fn get<T>(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
        read: impl FnOnce(&mut Reader<'_>, &'n Node) -> Option<T>,
    ) -> Option<Setting<T>> {
        let (key, _) = self.entries.get(name)?;
        let value = read(reader, self.node(name)?)?;
        Some(Setting { value, origin: Origin::File { path: self.path.to_owned(), line: key.at.line } })
    }
}

fn says_nothing(value: &Node, default: &str) -> bool {
    match &value.value {
        Value::Null => true,
        Value::Text { text, .. } => !default.is_empty() && text == default,
        Value::List(items) => items.is_empty(),
        Value::Map(pairs) => pairs.is_empty(),
    }
}

fn unknown(reader: &mut Reader<'_>, key: &Node, name: &str, keys: &[Key]) {
    let hint = match nearest(name, keys.iter().map(|key| key.name)) {
        Some(word) => did_you_mean(word),
        None => {
            let names: Vec<&str> =
                keys.iter().filter(|key| key.later.is_none()).map(|key| key.name).collect();
            format!("keys that can stand here: {}", names.join(", "))
        }
    };
    reader.fault(key.at, format!("unknown key {}", quote(name)), hint);
}
