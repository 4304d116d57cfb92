//! What a group that runs once on every node cannot say: how many, and which nodes are better.

use super::reader::Reader;
use super::table::{Table, says_nothing};
use crate::model::JobType;

/// What chooses among nodes.
const CHOICES: [&str; 3] = ["affinities", "spread", "distinct"];

/// Notes what makes no sense where the nodes decide how many there are.
pub(super) fn check(reader: &mut Reader<'_>, table: &Table<'_>, kind: JobType, count: Option<i64>) {
    if !kind.is_per_node() {
        return;
    }
    if count.is_some_and(|count| count != 1) {
        let hint = "leave `count` out; `constraints` say on which nodes it runs";
        reader.fault(table.key_at("count"), format!("a `{kind}` group runs once on every node"), hint);
    }
    for key in CHOICES {
        let is_written = table.get(key).is_some_and(|node| !says_nothing(node, ""));
        if is_written {
            let message = format!("`{key}` chooses among nodes, but a `{kind}` group runs on all of them");
            reader.fault(table.key_at(key), message, "`constraints` leave nodes out");
        }
    }
}
