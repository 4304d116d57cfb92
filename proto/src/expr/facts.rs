//! What a node is, as expressions name it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;

use cel::Value;

use super::reads::Reads;
use crate::model::NodeIdentity;

/// What begins the names of attributes that are not `attr`.
const META: &str = "meta.";
const DRIVER: &str = "driver.";
const VOLUME: &str = "volume.";
/// Facts of one node alone.
const OF_ONE: [&str; 4] = ["name", "id", "address", "hostname"];
/// Facts of a node beside its attributes.
const OF_NODE: [&str; 7] = ["name", "id", "address", "version", "cpu_millis", "memory_bytes", FAILURE_DOMAIN];
/// What a node fails together with.
const FAILURE_DOMAIN: &str = "failure_domain";
/// Attributes that are facts of a node, too.
const BOTH: [&str; 5] = ["os", "arch", "kernel", "hostname", "distribution"];

/// Where a fact is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// `node.os`: what every node has.
    Node,
    /// `attr.kernel`: what its agent found.
    Attr,
    /// `meta.rack`: what its agent's file says.
    Meta,
    /// `driver.docker`: what it runs tasks with; true or false.
    Driver,
}

impl Root {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Node, Self::Attr, Self::Meta, Self::Driver];

    /// Returns its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Attr => "attr",
            Self::Meta => "meta",
            Self::Driver => "driver",
        }
    }
}

/// The name of a fact: `meta.rack`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    root: Root,
    key: String,
}

impl Path {
    /// Names a fact; none: nodes have no such fact.
    pub(super) fn new(root: Root, key: &str) -> Option<Self> {
        let known = root != Root::Node || Self::of_node().any(|known| known == key);
        known.then(|| Self { root, key: key.to_owned() })
    }

    pub(super) fn of_node() -> impl Iterator<Item = &'static str> {
        OF_NODE.into_iter().chain(BOTH)
    }

    /// Returns the fact that groups are spread over unless they say otherwise.
    #[must_use]
    pub fn failure_domain() -> Self {
        Self { root: Root::Node, key: FAILURE_DOMAIN.to_owned() }
    }

    /// Returns whether nodes of one kind may differ in it.
    #[must_use]
    pub fn is_of_one_node(&self) -> bool {
        matches!(self.root, Root::Node | Root::Attr) && OF_ONE.contains(&self.key.as_str())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.root.word(), self.key)
    }
}

impl FromStr for Path {
    type Err = String;

    /// Reads `meta.rack`; `node` alone is `node.name`, `failure_domain` is `node.failure_domain`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "node" => return Ok(Self { root: Root::Node, key: "name".to_owned() }),
            FAILURE_DOMAIN => return Ok(Self::failure_domain()),
            _ => {}
        }
        let (root, key) = text.split_once('.').filter(|(_, key)| !key.is_empty()).ok_or("it has no `.`")?;
        let root = Root::ALL.into_iter().find(|known| known.word() == root);
        let root = root.ok_or("it begins with none of `node`, `attr`, `meta`, `driver`")?;
        Self::new(root, key).ok_or_else(|| format!("a node has no `{key}`"))
    }
}

/// The facts of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Facts {
    node: BTreeMap<String, String>,
    attr: BTreeMap<String, String>,
    meta: BTreeMap<String, String>,
    drivers: BTreeSet<String>,
    volumes: BTreeSet<String>,
    cpu_millis: u64,
    memory_bytes: u64,
}

impl Facts {
    /// Sorts what an agent says of its machine. Every agent runs processes.
    #[must_use]
    pub fn of(identity: &NodeIdentity) -> Self {
        let mut facts = Self {
            drivers: BTreeSet::from(["process".to_owned()]),
            cpu_millis: identity.capacity.cpu_millis,
            memory_bytes: identity.capacity.memory_bytes,
            ..Self::default()
        };
        for (key, value) in &identity.attributes {
            if let Some(key) = key.strip_prefix(META) {
                facts.meta.insert(key.to_owned(), value.clone());
            } else if let Some(driver) = key.strip_prefix(DRIVER) {
                facts.drivers.insert(driver.to_owned());
            } else if let Some(volume) = key.strip_prefix(VOLUME) {
                facts.volumes.insert(volume.to_owned());
            } else {
                facts.attr.insert(key.clone(), value.clone());
            }
        }
        let own = [
            ("name", identity.name.clone()),
            ("id", identity.id.to_string()),
            ("address", identity.address.clone()),
            ("version", identity.version.clone()),
        ];
        facts.node.extend(own.into_iter().map(|(key, value)| (key.to_owned(), value)));
        facts.node.extend(identity.failure_domain.clone().map(|domain| (FAILURE_DOMAIN.to_owned(), domain)));
        for key in BOTH {
            facts.node.insert(key.to_owned(), facts.attr.get(key).cloned().unwrap_or_default());
        }
        facts
    }

    /// The same without what belongs to one node alone: equal for nodes of one kind.
    #[must_use]
    pub fn of_kind(identity: &NodeIdentity) -> Self {
        let mut facts = Self::of(identity);
        for key in OF_ONE {
            facts.node.remove(key);
            facts.attr.remove(key);
        }
        facts
    }

    /// Returns whether its agent declares a volume of that name.
    #[must_use]
    pub fn has_volume(&self, name: &str) -> bool {
        self.volumes.contains(name)
    }

    /// Returns a fact as a text; none: the node does not have it, or says nothing.
    #[must_use]
    pub fn value(&self, path: &Path) -> Option<String> {
        let text = match path.root {
            Root::Node if path.key == "cpu_millis" => Some(self.cpu_millis.to_string()),
            Root::Node if path.key == "memory_bytes" => Some(self.memory_bytes.to_string()),
            Root::Node => self.node.get(&path.key).cloned(),
            Root::Attr => self.attr.get(&path.key).cloned(),
            Root::Meta => self.meta.get(&path.key).cloned(),
            Root::Driver => Some(self.drivers.contains(&path.key).to_string()),
        };
        text.filter(|text| !text.is_empty())
    }

    /// Returns what an expression asks for, as it sees it.
    pub(super) fn values(&self, reads: &Reads) -> impl Iterator<Item = (&'static str, Value)> {
        Root::ALL.into_iter().map(|root| (root.word(), self.under(root, reads)))
    }

    fn under(&self, root: Root, reads: &Reads) -> Value {
        let mut values: HashMap<String, Value> = HashMap::new();
        for path in reads.keys.iter().filter(|path| path.root == root) {
            let value = match root {
                Root::Driver => Value::Bool(self.drivers.contains(&path.key)),
                Root::Node if path.key == "cpu_millis" => number(self.cpu_millis),
                Root::Node if path.key == "memory_bytes" => number(self.memory_bytes),
                _ => match self.value(path) {
                    Some(text) => Value::from(text),
                    None if reads.asked_for.contains(path) => continue,
                    None => Value::from(String::new()),
                },
            };
            values.insert(path.key.clone(), value);
        }
        Value::from(values)
    }
}

fn number(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
