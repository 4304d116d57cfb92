//! What an expression asks for, and that it asks for nothing else than facts of a node.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, EntryExpr, Expr as Node, LiteralValue, SelectExpr};

use super::Wrong;
use super::facts::{Path, Root};
use crate::names::{did_you_mean, nearest};

/// The facts that an expression names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads {
    /// All of them.
    pub(super) keys: BTreeSet<Path>,
    /// Those of which it asks whether they are there.
    pub(super) asked_for: BTreeSet<Path>,
}

/// Functions that may be called, operators aside.
const FUNCTIONS: [&str; 12] = [
    "version",
    "contains",
    "startsWith",
    "endsWith",
    "size",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "has",
    "type",
];

impl Reads {
    pub(super) fn of(expression: &IdedExpr) -> Result<Self, Wrong> {
        let mut reads = Self::default();
        reads.look_at(expression)?;
        Ok(reads)
    }

    fn look_at(&mut self, expression: &IdedExpr) -> Result<(), Wrong> {
        match &expression.expr {
            Node::Select(select) => self.look_at_select(select),
            Node::Call(call) => self.look_at_call(call),
            Node::Ident(name) => Err(bare(name)),
            Node::List(list) => list.elements.iter().try_for_each(|one| self.look_at(one)),
            Node::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.look_at(&entry.key)?;
                    self.look_at(&entry.value)
                }
                EntryExpr::StructField(field) => self.look_at(&field.value),
            }),
            Node::Comprehension(_) => {
                let hint = "write the values out: `meta.rack in [\"r1\", \"r2\"]`";
                Err(Wrong::new(0, "`all`, `exists`, `map` and `filter` are not supported", hint))
            }
            Node::Literal(_) => Ok(()),
            Node::Struct(_) | Node::Unspecified => {
                Err(Wrong::new(0, "only facts of a node, texts, numbers and lists are supported", ""))
            }
        }
    }

    fn look_at_select(&mut self, select: &SelectExpr) -> Result<(), Wrong> {
        let Node::Ident(root) = &select.operand.expr else {
            // `meta.a.b`: keys with dots are written in brackets.
            let hint = "a name that holds a dot is written in brackets: `meta[\"a.b\"]`";
            return Err(Wrong::new(0, format!("`.{}` of what has no parts", select.field), hint));
        };
        self.note(root, &select.field, select.test)
    }

    fn look_at_call(&mut self, call: &CallExpr) -> Result<(), Wrong> {
        if call.func_name == "_[_]"
            && let [of, key] = call.args.as_slice()
            && let Node::Ident(root) = &of.expr
        {
            let Node::Literal(LiteralValue::String(key)) = &key.expr else {
                return Err(Wrong::new(0, "brackets hold a text", "for example `meta[\"a.b\"]`"));
            };
            return self.note(root, key.inner(), false);
        }
        let is_operator = !call.func_name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !is_operator && !FUNCTIONS.contains(&call.func_name.as_str()) {
            let hint = nearest(&call.func_name, FUNCTIONS.into_iter()).map_or_else(
                || {
                    "there are `version`, `contains`, `startsWith`, `endsWith`, `size`, `int`, `double`"
                        .to_owned()
                },
                did_you_mean,
            );
            return Err(Wrong::new(0, format!("there is no function `{}`", call.func_name), hint));
        }
        call.target.iter().map(|target| &**target).chain(&call.args).try_for_each(|part| self.look_at(part))
    }

    fn note(&mut self, root: &str, key: &str, asks: bool) -> Result<(), Wrong> {
        let Some(root) = Root::ALL.into_iter().find(|known| known.word() == root) else {
            return Err(bare(root));
        };
        let Some(path) = Path::new(root, key) else {
            let known: Vec<&str> = Path::of_node().collect();
            let hint = nearest(key, known.iter().copied())
                .map_or_else(|| format!("it has {}", known.join(", ")), did_you_mean);
            return Err(Wrong::new(0, format!("a node has no `node.{key}`"), hint));
        };
        if asks {
            self.asked_for.insert(path.clone());
        }
        self.keys.insert(path);
        Ok(())
    }
}

fn bare(name: &str) -> Wrong {
    let roots = Root::ALL.map(Root::word);
    if roots.contains(&name) {
        return Wrong::new(
            0,
            format!("`{name}` alone says nothing"),
            format!("name a part of it: `{name}.KEY`"),
        );
    }
    let hint = match nearest(name, roots.into_iter()) {
        Some(near) => did_you_mean(near),
        None => "a text is quoted; facts begin with `node`, `attr`, `meta` or `driver`".to_owned(),
    };
    Wrong::new(0, format!("`{name}` is not known"), hint)
}
