//! Expressions and what they say of each kind of nodes: asked once, remembered from one decision to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::expr::Expr;

use crate::core::state::Classes;

/// Expressions remembered: more than a cluster's jobs have, and a bound for those that come and go.
const KEPT: usize = 4096;

/// What is remembered of expressions. Forgetting it changes no decision.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    known: BTreeMap<String, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    /// None: no expression; jobs are checked when they are submitted, so only an older server's may be none.
    expr: Option<Arc<Expr>>,
    epoch: u64,
    by_class: Arc<Vec<bool>>,
}

impl Answers {
    /// Returns an expression with what it says of each kind, by the number of the kind. What is no expression holds nowhere.
    pub(super) fn of(&mut self, text: &str, classes: &Classes) -> (Option<Arc<Expr>>, Arc<Vec<bool>>) {
        if self.known.len() >= KEPT && !self.known.contains_key(text) {
            self.known.clear();
        }
        let known = self.known.entry(text.to_owned()).or_insert_with(|| Known {
            expr: Expr::parse(text).ok().map(Arc::new),
            epoch: u64::MAX,
            by_class: Arc::default(),
        });
        if known.epoch != classes.epoch() || known.by_class.len() != classes.numbers() {
            known.epoch = classes.epoch();
            known.by_class = Arc::new(answer(known.expr.as_deref(), classes));
        }
        (known.expr.clone(), known.by_class.clone())
    }
}

fn answer(expr: Option<&Expr>, classes: &Classes) -> Vec<bool> {
    let mut answers = vec![false; classes.numbers()];
    let Some(expr) = expr.filter(|expr| !expr.is_of_one_node()) else { return answers };
    for (class, facts) in classes.iter() {
        answers[class.index()] = expr.holds(facts);
    }
    answers
}
