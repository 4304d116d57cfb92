//! `variables`, and `${var.NAME}` in the texts of a job.
//!
//! Values are put into the tree's texts, after YAML has been read: whatever is in a value, it never is more than a part of a text.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::keys::Level;
use super::reader::{Reader, did_you_mean, nearest, quote};
use super::rules::is_key;
use super::table::{Table, pairs};
use super::tree::{Node, VARIABLE, Value};
use crate::limits;

/// A variable of the job.
struct Variable<'n> {
    key: &'n Node,
    /// None: required, and not given.
    value: Option<String>,
    used: bool,
}

/// Returns a job's tree with its variables filled in, or nothing if there is nothing to fill in. Notes what is wrong with the
/// variables: not set, not known, not used.
pub(super) fn fill(reader: &mut Reader<'_>, job: &Node) -> Option<Node> {
    let Value::Map(entries) = &job.value else { return None };
    let is_variables = |key: &Node| matches!(&key.value, Value::Text { text, .. } if text == "variables");
    let declared = entries.iter().find(|(key, _)| is_variables(key));
    let variables = declared.map(|(_, node)| declared_in(reader, node)).unwrap_or_default();
    let mut filling = Filling { variables };
    let filled = job.has_variables.then(|| {
        let parts = entries.iter().map(|(key, value)| {
            filling.check_key(reader, key);
            let value = if is_variables(key) { Rc::clone(value) } else { filling.node(reader, value) };
            (Rc::clone(key), value)
        });
        job.with(Value::Map(parts.collect()))
    });
    for (name, variable) in filling.variables.iter().filter(|(_, variable)| !variable.used) {
        let hint = format!("use it as `${{var.{name}}}`, or remove it");
        reader.missing(variable.key.at, format!("the variable {} is not used", quote(name)), hint);
    }
    filled
}

fn declared_in<'n>(reader: &mut Reader<'_>, node: &'n Node) -> BTreeMap<String, Variable<'n>> {
    let hint = "for example `variables: {tag: {default: \"1.4\"}, replicas: {required: true}}`";
    let entries = pairs(reader, node, "variables", hint);
    if entries.len() > limits::VARIABLES_PER_JOB {
        let message = format!("{} variables, at most {} in a job", entries.len(), limits::VARIABLES_PER_JOB);
        reader.fault(node.at, message, "");
        return BTreeMap::new();
    }
    let mut variables = BTreeMap::new();
    for (key, node) in entries {
        let Some(name) = reader.text(key, "variables") else { continue };
        if !is_key(name) {
            let hint = "letters, digits, `_`, `-` and `.`, not a digit first, at most 255 characters";
            reader.fault(key.at, format!("{} is not a name of a variable", quote(name)), hint);
            continue;
        }
        reader.declared.insert(name.to_owned());
        let value = value(reader, key, name, node);
        variables.insert(name.to_owned(), Variable { key, value, used: false });
    }
    variables
}

/// Returns what a variable stands for.
fn value(reader: &mut Reader<'_>, key: &Node, name: &str, node: &Node) -> Option<String> {
    let given = reader.given.variables.get(name).cloned();
    if let Value::Text { text, .. } = &node.value {
        let hint = format!("write `{name}: {{default: {text}}}`");
        reader.expected::<()>(node, name, "a mapping", &hint);
        return Some(text.clone());
    }
    let before = reader.count();
    let table = Table::read(reader, node, &[Level::Variable], name);
    let default = table.get("default").and_then(|node| reader.text(node, "default"));
    let required = table.get("required").and_then(|node| reader.bool(node, "required")) == Some(true);
    if required && default.is_some() {
        let message = format!("{} has a default and is required", quote(name));
        reader.fault(
            table.key_at("required"),
            message,
            "one of both: what is required must be given each time",
        );
    }
    if given.is_none() && default.is_none() && reader.count() == before {
        let hint = format!("give it: `--var {name}=VALUE`, or a line `{name}: VALUE` in a `--var-file`");
        let message = match required {
            true => format!("the variable {} is required, and none is given", quote(name)),
            false => format!("the variable {} has no `default`, and none is given", quote(name)),
        };
        reader.fault(key.at, message, hint);
    }
    given.or_else(|| default.map(str::to_owned))
}

struct Filling<'n> {
    variables: BTreeMap<String, Variable<'n>>,
}

impl Filling<'_> {
    /// Returns a node with the variables of its texts filled in. As deep as the tree, which is bounded.
    fn node(&mut self, reader: &mut Reader<'_>, node: &Rc<Node>) -> Rc<Node> {
        if !node.has_variables {
            return Rc::clone(node);
        }
        let value = match &node.value {
            Value::Null => Value::Null,
            Value::Text { text, quoted } => self.text(reader, node, text, *quoted),
            Value::List(items) => Value::List(items.iter().map(|item| self.node(reader, item)).collect()),
            Value::Map(pairs) => {
                let pair = |(key, value): &(Rc<Node>, Rc<Node>)| {
                    self.check_key(reader, key);
                    (Rc::clone(key), self.node(reader, value))
                };
                Value::Map(pairs.iter().map(pair).collect())
            }
        };
        Rc::new(node.with(value))
    }

    /// A variable in a key could change what the file says where nobody looks for it.
    fn check_key(&self, reader: &mut Reader<'_>, key: &Node) {
        if let Value::Text { text, .. } = &key.value
            && places(text).next().is_some()
        {
            reader.fault_within(
                key,
                VARIABLE,
                "a variable cannot stand in a key",
                "it can stand in any value",
            );
            reader.mute(key);
        }
    }

    fn text(&mut self, reader: &mut Reader<'_>, node: &Node, text: &str, quoted: bool) -> Value {
        let room = limits::YAML_TEXT_BYTES.saturating_sub(reader.filled_bytes);
        let (mut filled, mut done, mut whole) = (String::new(), 0, true);
        for at in places(text) {
            // Within what was taken for a name, and is a fault already.
            let Some(before) = text.get(done..at) else { continue };
            filled.push_str(before);
            let after = &text[at + VARIABLE.len()..];
            let Some((name, _)) = after.split_once('}') else {
                let hint = "close it with `}`, or write `$${` for a literal `${`";
                reader.fault_within(node, VARIABLE, "`${` is never closed", hint);
                (done, whole) = (at, false);
                break;
            };
            done = at + VARIABLE.len() + name.len() + 1;
            match self.look_up(reader, node, name) {
                Some(value) if filled.len() + value.len() <= room => filled.push_str(value),
                Some(_) => {
                    let message =
                        format!("the variables fill in more than {} bytes", limits::YAML_TEXT_BYTES);
                    reader.fault(node.at, message, "shorten what they stand for");
                    whole = false;
                    break;
                }
                None => whole = false,
            }
        }
        if done == 0 && whole {
            return Value::Text { text: text.to_owned(), quoted };
        }
        filled.push_str(&text[done..]);
        reader.filled_bytes += filled.len();
        let literals = text.matches(VARIABLE).count() - places(text).count();
        if whole && filled.matches(VARIABLE).count() != literals {
            let message = format!("filled in, this holds {} itself", quote(VARIABLE));
            reader.fault(node.at, message, "what a variable stands for is not looked through for others");
            whole = false;
        }
        if !whole {
            reader.mute(node);
        }
        // A number that was given is a number, whatever quotes YAML wanted around the `${}`.
        Value::Text { text: filled, quoted: false }
    }

    fn look_up(&mut self, reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<&str> {
        if self.variables.contains_key(name) {
            return self.variables.get_mut(name).and_then(|variable| {
                variable.used = true;
                variable.value.as_deref()
            });
        }
        let written = format!("${{var.{name}}}");
        let near = nearest(name, self.variables.keys().map(String::as_str));
        let hint = match near {
            Some(near) => did_you_mean(&format!("${{var.{near}}}")),
            None if is_key(name) => format!(
                "declare it: `variables: {{{name}: {{default: VALUE}}}}`; a literal one is written `${written}`"
            ),
            None => format!("a literal one is written `${written}`"),
        };
        reader.fault_within(
            node,
            &written,
            format!("{} names no variable of the job", quote(&written)),
            hint,
        );
        None
    }
}

/// Returns where variables stand in a text: at every `${var.` that has no `$` before it.
fn places(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices(VARIABLE).map(|(at, _)| at).filter(|at| !text[..*at].ends_with('$'))
}

/// Takes the escapes out of a text in which nothing else is filled in: `$${var.` is a literal `${var.`.
pub(super) fn literal(text: &str) -> String {
    text.replace(&format!("${VARIABLE}"), VARIABLE)
}

/// Puts them in.
pub(super) fn escaped(text: &str) -> String {
    text.replace(VARIABLE, &format!("${VARIABLE}"))
}
