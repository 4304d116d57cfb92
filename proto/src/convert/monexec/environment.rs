//! The variables of a service: its own, and over them those of its files, a later one over an earlier.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::service::literal;
use super::{Given, Note, key_text};
use crate::jobfile::rules;
use crate::jobfile::yaml::{Node, Reader, Value, pairs, quote};
use crate::limits;
use crate::units::show_size;

/// Reads `environment` and `envFiles`.
pub(super) fn environment(
    reader: &mut Reader<'_>,
    own: Option<&Node>,
    files: Option<&Node>,
    given: &Given<'_>,
    notes: &mut Vec<Note>,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let own = own.map(|node| pairs(reader, node, "environment", "write `environment: {KEY: value}`"));
    for (key, value) in own.into_iter().flatten() {
        let name = key_text(key);
        if let Err(why) = fits(name) {
            let text = format!("{} {why}, and is left out", quote(name));
            notes.push(Note::new(key.at.line, text));
        } else if matches!(value.value, Value::Null) {
            env.insert(name.to_owned(), String::new());
        } else if let Some(text) = reader.text(value, name) {
            env.insert(name.to_owned(), literal(text));
        }
    }
    let Some(files) = files else { return env };
    let Value::List(items) = &files.value else {
        return reader.expected(files, "envFiles", "a list of paths", "").unwrap_or_default();
    };
    if items.len() > limits::ENV_FILES_PER_TASK {
        let message =
            format!("{} entries of `envFiles`, at most {}", items.len(), limits::ENV_FILES_PER_TASK);
        reader.fault(files.at, message, "");
        return env;
    }
    for item in items {
        let Some(path) = reader.text(item, "envFiles") else { continue };
        let Some(text) = content(reader, item, path, given, notes) else { continue };
        let (variables, others) = variables(&text);
        env.extend(variables);
        if let Some((first, why)) = others.first() {
            let others = match others.len() - 1 {
                0 => String::new(),
                more => format!("; so are {more} more lines of it"),
            };
            let text = format!("{}: {} {why}, and is left out{others}", quote(path), quote(first));
            notes.push(Note::new(item.at.line, text));
        }
    }
    if env.len() > limits::ENV_PER_TASK {
        let message = format!("{} variables, at most {}", env.len(), limits::ENV_PER_TASK);
        reader.fault(files.at, message, "");
    }
    env
}

/// Reads a file. That there is none is no fault to monexec, and none here; one that it would read and nobody here can is one.
fn content(
    reader: &mut Reader<'_>,
    node: &Node,
    path: &str,
    given: &Given<'_>,
    notes: &mut Vec<Note>,
) -> Option<String> {
    let full = match given.base {
        Some(base) => base.join(path),
        None if path.starts_with('/') => PathBuf::from(path),
        None => {
            let hint = "it is relative to the file, and this one has no place: write an absolute path";
            reader.fault(node.at, format!("`envFiles` has {}, a relative path", quote(path)), hint);
            return None;
        }
    };
    // What is too much together is refused; reading all of it first would take any amount of memory.
    if reader.file_bytes > limits::JOB_STORED_BYTES {
        return None;
    }
    let bytes = match read(&full, given) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            notes.push(Note::new(
                node.at.line,
                format!("there is no file {}, and it is left out", quote(path)),
            ));
            return None;
        }
        Err(why) => {
            notes.push(Note::new(node.at.line, format!("{}: {why}; it is left out", quote(path))));
            return None;
        }
    };
    let most = limits::TRAVELLING_FILE_BYTES;
    reader.file_bytes += bytes.len();
    if bytes.len() > most {
        reader.fault(node.at, format!("{} is larger than {}", quote(path), show_size(most as u64)), "");
    } else if reader.file_bytes > limits::JOB_STORED_BYTES {
        let most = show_size(limits::JOB_STORED_BYTES as u64);
        let message = format!("with {} the environment files have more than {most} together", quote(path));
        reader.fault(node.at, message, "split the file");
    } else {
        match String::from_utf8(bytes) {
            Ok(text) => return Some(text),
            Err(_) => reader.fault(node.at, format!("{} is not UTF-8", quote(path)), ""),
        }
    }
    None
}

fn read(path: &Path, given: &Given<'_>) -> Result<Option<Vec<u8>>, String> {
    match given.files {
        Some(files) => files.read(path, limits::TRAVELLING_FILE_BYTES),
        None => Err("it cannot be read here".to_owned()),
    }
}

type Variables = Vec<(String, String)>;

/// Takes an environment file apart as monexec does: everything behind the first `=`, quotes included; what has none is nothing.
/// Returns the variables, and the names of what can be none here, with why.
fn variables(text: &str) -> (Variables, Vec<(&str, &'static str)>) {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let (mut variables, mut others) = (Variables::new(), Vec::new());
    for (name, value) in lines.filter_map(|line| line.split_once('=')) {
        match fits(name) {
            Ok(()) if value.contains('\0') => others.push((name, "has a NUL character in its value")),
            Ok(()) => variables.push((name.to_owned(), literal(value))),
            Err(why) => others.push((name, why)),
        }
    }
    (variables, others)
}

fn fits(name: &str) -> Result<(), &'static str> {
    match name {
        _ if !rules::is_key(name) => Err("is no name of a variable"),
        _ if rules::is_fact(name) => Err("is set by minijob itself"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_apart_as_monexec_does() {
        let text = "# note\nbroken\nA=1\n B=\"two\" = 2 \r\nA=3\nexport C=4\nMINIJOB_JOB=x\nD=\n";
        let (variables, others) = variables(text);
        let expected = [("A", "1"), ("B", "\"two\" = 2"), ("A", "3"), ("D", "")];
        assert_eq!(variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(
            others,
            [("export C", "is no name of a variable"), ("MINIJOB_JOB", "is set by minijob itself")]
        );
    }
}
