//! Paths: of the machine that reads the job file, of nodes, and within a task.

use std::path::{Path, PathBuf};

use super::names::{Env, Scope};
use super::reader::{Reader, quote};
use super::tree::Node;
use super::{interpolate, rules};
use crate::{limits, units};

/// Returns a path as absolute: relative ones are relative to the file.
pub(super) fn from_file(reader: &mut Reader<'_>, node: &Node, key: &str, text: &str) -> String {
    if text.starts_with('/') {
        return text.to_owned();
    }
    let message = format!("`{key}` is {}, a relative path", quote(text));
    let Some(base) = reader.given.base else {
        let hint =
            "a relative path is relative to the job file, and this one has no place: write an absolute path";
        reader.fault(node.at, message, hint);
        return text.to_owned();
    };
    let joined: PathBuf = base.join(text).components().collect();
    let Some(path) = joined.to_str() else {
        let hint = "the path of the job file is not valid UTF-8: write an absolute path";
        reader.fault(node.at, message, hint);
        return text.to_owned();
    };
    path.to_owned()
}

/// Reads an absolute path of a node, where nothing is filled in.
pub(super) fn of_node(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<String> {
    plain(reader, node, key, rules::absolute)
}

/// Reads an absolute path of a node in which the agent fills in names; it looks at the whole path again.
pub(super) fn of_node_filled(
    reader: &mut Reader<'_>,
    node: &Node,
    key: &str,
    scope: &Scope<'_>,
    known: &Env<'_>,
) -> Option<String> {
    let text = reader.text(node, key)?;
    scope.check(reader, node, text, known);
    ruled(reader, node, key, text, rules::absolute)
}

/// Reads a path within the task's directory.
pub(super) fn of_task(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<String> {
    plain(reader, node, key, rules::inside)
}

type Rule = fn(&str) -> Result<(), &'static str>;

fn plain(reader: &mut Reader<'_>, node: &Node, key: &str, rule: Rule) -> Option<String> {
    let text = reader.text(node, key)?;
    if !interpolate::is_plain(text) {
        let message = format!("`{key}` is taken as it is written, without `${{...}}`");
        reader.fault_within(
            node,
            "${",
            message,
            "`${...}` works in `args`, `env`, `workdir`, `logs.file` and `env_files`",
        );
        return None;
    }
    ruled(reader, node, key, text, rule)
}

fn ruled(reader: &mut Reader<'_>, node: &Node, key: &str, text: &str, rule: Rule) -> Option<String> {
    if let Err(fault) = rule(text) {
        let hint = match key {
            "to" if text.starts_with('/') => "for example `to: local/app.conf`",
            _ => "",
        };
        reader.fault(node.at, format!("`{key}` is {}, a path that is {fault}", quote(text)), hint);
        return None;
    }
    Some(text.to_owned())
}

/// Reads a file that the job file refers to; nothing if it is not there, which is a fault unless it is optional.
pub(super) fn content(
    reader: &mut Reader<'_>,
    node: &Node,
    key: &str,
    text: &str,
    optional: bool,
) -> Option<Vec<u8>> {
    if text.is_empty() {
        return reader.expected(node, key, "a file", "its path, relative to the job file");
    }
    let before = reader.count();
    let path = from_file(reader, node, key, text);
    if reader.count() > before {
        return None;
    }
    let Some(files) = reader.given.files else {
        let hint = "`minijob run FILE` reads it; else write what is in it into the job file";
        reader.fault(node.at, format!("{} cannot be read here", quote(text)), hint);
        return None;
    };
    // A job whose files are too many is refused for its size; reading all of them first would take any amount of memory.
    if reader.file_bytes > limits::JOB_STORED_BYTES {
        return None;
    }
    let most = limits::TRAVELLING_FILE_BYTES;
    let content = match files.read(Path::new(&path), most) {
        Err(why) => {
            reader.fault(node.at, format!("{}: {why}", quote(text)), "");
            return None;
        }
        Ok(None) if optional => return None,
        Ok(None) => {
            let hint = format!("it is looked for at {}", quote(&path));
            reader.fault(node.at, format!("there is no file {}", quote(text)), hint);
            return None;
        }
        Ok(Some(content)) => content,
    };
    if content.len() > most {
        let most = units::show_size(most as u64);
        let hint = "put data into a volume";
        reader.fault(node.at, format!("{} is larger than {most}", quote(text)), hint);
        return None;
    }
    reader.file_bytes += content.len();
    if reader.file_bytes > limits::JOB_STORED_BYTES {
        let most = units::show_size(limits::JOB_STORED_BYTES as u64);
        let message = format!("with {} the files of this job have more than {most} together", quote(text));
        reader.fault(node.at, message, "put data into a volume, or split the job");
    }
    Some(content)
}
