//! Names of signals, as Linux numbers them.

use super::reader::{Reader, did_you_mean, nearest};
use super::tree::{Node, Value};
use crate::signals::{self, NAMES};

/// Reads a signal: a name with or without `SIG`, in any case, or a number from 1 to 64.
pub(super) fn signal(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<i32> {
    const WHAT: &str = "the name of a signal such as `SIGTERM`, or a number from 1 to 64";
    let Value::Text { text, .. } = &node.value else { return reader.expected(node, key, WHAT, "") };
    if let Some(number) = signals::number(text) {
        return Some(number);
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return reader.expected(node, key, WHAT, "");
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let lower: Vec<String> = NAMES.iter().map(|name| name.to_ascii_lowercase()).collect();
    let near = nearest(bare, lower.iter().map(String::as_str));
    let hint = near.map(|name| did_you_mean(&format!("SIG{}", name.to_ascii_uppercase())));
    reader.expected(node, key, WHAT, &hint.unwrap_or_default())
}

pub(super) use crate::signals::show;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_linux() {
        for (number, name) in
            [(1, "SIGHUP"), (9, "SIGKILL"), (10, "SIGUSR1"), (15, "SIGTERM"), (31, "SIGSYS")]
        {
            assert_eq!(show(number), name);
        }
        assert_eq!(show(34), "34");
    }
}
