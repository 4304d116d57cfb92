//! Whether an expression can be answered at all: told when a job is submitted, not when it finds no node.

use cel::common::ast::Expr as Node;
use cel::{ExecutionError, IdedExpr, ParseErrors, Value};

use super::facts::Facts;
use super::{Expr, Wrong};

/// Says where and why a text is no expression.
pub(super) fn syntax(text: &str, errors: &ParseErrors) -> Wrong {
    // The first is where reading went wrong; what follows comes of that.
    let first = errors.errors.first();
    let column = first.map_or(0, |error| usize::try_from(error.pos.1).unwrap_or(0).saturating_sub(1));
    let at = column.min(text.chars().count());
    let message = match text.chars().nth(at) {
        _ if text.trim().is_empty() => "the expression is empty".to_owned(),
        Some(found) => format!("the expression cannot be read from `{}` on", from(text, at, found)),
        None => "the expression ends too early".to_owned(),
    };
    if let Some(word) = word_as_name(text, at) {
        let hint = format!("`{word}` is a word of expressions; as a name it is written `meta[\"{word}\"]`");
        return Wrong::new(at, message, hint);
    }
    let hint = match text.chars().nth(at) {
        Some('=') => "compare with `==`",
        Some('&') => "`&&` is and",
        Some('|') => "`||` is or",
        _ => "for example `meta.rack != \"r1\"`",
    };
    Wrong::new(at, message, hint)
}

/// Words of the language, which are no names behind a dot.
const WORDS: [&str; 4] = ["in", "true", "false", "null"];

/// Returns the word that stands there as if it were a name.
fn word_as_name(text: &str, at: usize) -> Option<&'static str> {
    let before: String = text.chars().take(at).collect();
    let rest: String = text.chars().skip(at).take_while(char::is_ascii_alphanumeric).collect();
    WORDS.into_iter().find(|word| before.ends_with('.') && *word == rest)
}

/// Returns a little of a text from a place on.
fn from(text: &str, at: usize, first: char) -> String {
    const SHOWN: usize = 20;
    let shown: String = text.chars().skip(at).take(SHOWN).collect();
    if shown.trim().is_empty() { first.to_string() } else { shown.trim_end().to_owned() }
}

/// Answers every part of an expression on a node that has nothing, and refuses what no node could answer.
pub(super) fn types(expr: &Expr) -> Result<(), Wrong> {
    let nothing = Facts::default();
    let context = expr.context(&nothing);
    let mut parts = vec![expr.program.expression()];
    while let Some(part) = parts.pop() {
        push_parts(part, &mut parts);
        if matches!(part.expr, Node::Call(_)) {
            match context.resolve(part) {
                Ok(_) | Err(ExecutionError::NoSuchKey(_) | ExecutionError::FunctionError { .. }) => {}
                Err(error) => return Err(impossible(&error)),
            }
        }
    }
    match context.resolve(expr.program.expression()) {
        Ok(Value::Bool(_)) | Err(_) => Ok(()),
        Ok(Value::String(_)) => Err(Wrong::new(
            0,
            "the expression is a text, expected true or false",
            "compare it: `meta.rack == \"r1\"`",
        )),
        Ok(_) => Err(Wrong::new(
            0,
            "the expression is a value, expected true or false",
            "compare it, for example with `==`",
        )),
    }
}

fn push_parts<'e>(part: &'e IdedExpr, parts: &mut Vec<&'e IdedExpr>) {
    match &part.expr {
        Node::Call(call) => {
            parts.extend(call.target.iter().map(|target| &**target));
            parts.extend(&call.args);
        }
        Node::List(list) => parts.extend(&list.elements),
        _ => {}
    }
}

fn impossible(error: &ExecutionError) -> Wrong {
    let hint = "facts are texts: compare numbers with `int(meta.disks) > 4`, versions with `version(attr.kernel) >= version(\"5.10\")`";
    let message = match error {
        ExecutionError::UndeclaredReference(name) => {
            return Wrong::new(0, format!("`{name}` is not known"), "");
        }
        ExecutionError::NoSuchOverload(overload) => {
            let types = overload.argument_types().join(" and ");
            format!("{} cannot be asked of {types}", operator(overload.function()))
        }
        other => other.to_string(),
    };
    Wrong::new(0, message, hint)
}

/// `_>_` is `>` to people.
fn operator(name: &str) -> String {
    format!("`{}`", name.trim_matches(['_', '@']))
}
