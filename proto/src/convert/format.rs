//! Whose file a text is, by what stands at its top.

use crate::jobfile::Faults;
use crate::jobfile::yaml::{self, Node, Value};

use super::monexec;

/// A format that is read. Others that are known are refused by name where a job file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Our own.
    Job,
    /// That of monexec.
    Monexec,
}

/// What can begin a job, but stands in no other file that is read.
const OURS: [&str; 6] = ["name", "command", "image", "tasks", "groups", "jobs"];

/// Returns the format of a text. One that is broken is judged by what stands before the break; what looks like no other is a job file,
/// whose reader says best what is wrong with it.
///
/// # Errors
/// One fault: it could be of two formats.
pub(super) fn recognise(file: &str, text: &str) -> Result<Format, Faults> {
    let mut looks = (None, None);
    // What is wrong with the text is the matter of whoever reads it as what it is.
    let _ = yaml::read(file, text, |_, root| {
        looks = (root.and_then(ours), root.and_then(monexec::sign));
    });
    match looks {
        (_, None) => Ok(Format::Job),
        (None, Some(_)) => Ok(Format::Monexec),
        (Some(_), Some(_)) => ambiguous(file, text),
    }
}

/// Returns a key that only a job has.
fn ours(root: &Node) -> Option<&'static str> {
    OURS.into_iter().find(|key| entry(root, key).is_some())
}

fn ambiguous(file: &str, text: &str) -> Result<Format, Faults> {
    yaml::read(file, text, |reader, root| {
        let Some((ours, theirs)) = root.and_then(|root| Some((ours(root)?, monexec::sign(root)?))) else {
            return;
        };
        let message = format!(
            "this could be a job file, for its `{ours}`, and a file of monexec, for its `{}`",
            theirs.1
        );
        let hint = "say which with `--format job` or `--format monexec`; a job has its programs under `command`, `tasks` or `groups`";
        reader.fault(theirs.0, message, hint);
    })?;
    Ok(Format::Job)
}

/// Returns the key and the value of an entry of a mapping.
pub(super) fn entry<'n>(root: &'n Node, name: &str) -> Option<(&'n Node, &'n Node)> {
    let Value::Map(entries) = &root.value else { return None };
    let named = |key: &Node| matches!(&key.value, Value::Text { text, .. } if text == name);
    entries.iter().find(|(key, _)| named(key)).map(|(key, value)| (&**key, &**value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lists_programs_or_has_their_sections_alone_is_monexecs() {
        let is = |text: &str| recognise("x.yml", text).expect("of one format");
        for monexec in [
            "services: [{command: x}]",
            "services: [{label: a, comand: x}]",
            "services: [{comand: x}, {command: y}]\ncritical: [a]",
            "services:\n  - command: x\n    args: [",
            "telegram: {token: x}\nemail: {}",
        ] {
            assert_eq!(is(monexec), Format::Monexec, "{monexec}");
        }
        for other in [
            "",
            "[]",
            "services: {web: {image: nginx}}",
            "services: [{port: http}]",
            "name: web\ncommand: x\nservices: [{port: http}]",
            "telegram: {token: x}\nnginx: {image: nginx}",
            "job \"web\" {\n}",
        ] {
            assert_eq!(is(other), Format::Job, "{other}");
        }
    }
}
