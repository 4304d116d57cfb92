//! Names of signals, as Linux numbers them.

use super::reader::{Reader, did_you_mean, nearest};
use super::tree::{Node, Value};

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Reads a signal: a name with or without `SIG`, in any case, or a number from 1 to 64.
pub(super) fn signal(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<i32> {
    const WHAT: &str = "the name of a signal such as `SIGTERM`, or a number from 1 to 64";
    let Value::Text { text, .. } = &node.value else { return reader.expected(node, key, WHAT, "") };
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return match text.parse() {
            Ok(number @ 1..=64) => Some(number),
            _ => reader.expected(node, key, WHAT, ""),
        };
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = NAMES.iter().position(|name| *name == bare) {
        return Some(index as i32 + 1);
    }
    let lower: Vec<String> = NAMES.iter().map(|name| name.to_ascii_lowercase()).collect();
    let near = nearest(bare, lower.iter().map(String::as_str));
    let hint = near.map(|name| did_you_mean(&format!("SIG{}", name.to_ascii_uppercase())));
    reader.expected(node, key, WHAT, &hint.unwrap_or_default())
}

/// Writes a signal by its name, or by its number where it has none.
pub(super) fn show(number: i32) -> String {
    let name = usize::try_from(number - 1).ok().and_then(|index| NAMES.get(index));
    name.map_or_else(|| number.to_string(), |name| format!("SIG{name}"))
}

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
