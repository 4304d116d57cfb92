//! Expressions over what a node is, in CEL: what `constraints` and `affinities` of a job file say.
//!
//! `node`, `attr`, `meta` and `driver` are all that there is. What a node does not have is an empty text, so that
//! `meta.rack != "r1"` holds on a node without a rack; where `has(meta.rack)` asks whether it is there, it may be missing. Lists of
//! CEL's macros (`all`, `exists`, `map`) are left out: nothing of a node is a list, and they cost without bound.

mod check; // whether an expression can be answered at all
mod facts; // what a node is
mod reads; // what an expression asks for
mod version; // texts of versions in the order of their numbers

use cel::{Context, Program, Value};

use crate::limits;

pub use facts::{Facts, Path};
use reads::Reads;

/// A checked expression.
#[derive(Debug)]
pub struct Expr {
    text: String,
    program: Program,
    reads: Reads,
}

/// Why a text is no expression over a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Wrong {
    /// What is wrong, in one line.
    pub message: String,
    /// What would be right, or empty.
    pub hint: String,
    /// Where in the text, in characters from 0.
    pub at: usize,
}

impl Wrong {
    fn new(at: usize, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), at }
    }
}

impl Expr {
    /// Reads an expression and checks that it can be answered: its names and functions are known, and it is true or false.
    ///
    /// # Errors
    /// [`Wrong`]: it is longer than [`limits::EXPRESSION_BYTES`], is no CEL, names what no node has, calls what there is not, or is
    /// something else than true or false.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        if text.len() > limits::EXPRESSION_BYTES {
            let message =
                format!("an expression of {} bytes, at most {}", text.len(), limits::EXPRESSION_BYTES);
            return Err(Wrong::new(0, message, "several expressions must hold all together: write several"));
        }
        let program = Program::compile(text).map_err(|errors| check::syntax(text, &errors))?;
        let reads = Reads::of(program.expression())?;
        let expr = Self { text: text.to_owned(), program, reads };
        check::types(&expr)?;
        Ok(expr)
    }

    /// Returns it as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether it holds on a node. What cannot be answered there, such as the number of a text that is none, does not hold.
    #[must_use]
    pub fn holds(&self, facts: &Facts) -> bool {
        matches!(self.program.execute(&self.context(facts)), Ok(Value::Bool(true)))
    }

    /// Returns whether nodes of the same attributes may answer differently: it asks for a name, an id or an address.
    #[must_use]
    pub fn is_of_one_node(&self) -> bool {
        self.reads.keys.iter().any(|path| path.is_of_one_node())
    }

    fn context(&self, facts: &Facts) -> Context<'static, 'static> {
        let mut context = Context::default();
        for (root, values) in facts.values(&self.reads) {
            context.add_variable_from_value(root, values);
        }
        // The name is free: the library has no function of it.
        let added = context.add_function("version", version::sortable);
        debug_assert!(added.is_ok(), "`version` is not a function of CEL");
        context
    }
}

#[cfg(test)]
mod tests;
