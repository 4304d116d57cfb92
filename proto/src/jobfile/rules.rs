//! What a value of a job may be, wherever it comes from: servers ask the same of a job that was never a file.

use std::time::Duration;

use crate::limits;

/// Characters of the name of an environment variable or an entry of `meta`: also what YAML allows a key.
pub const KEY_CHARS: usize = 255;
/// The least that a log file can hold, in bytes: smaller ones would rotate with every few lines.
pub const LOG_FILE_LEAST: u64 = 4096;
/// The least limit of memory in bytes: no program starts with less.
pub const MEMORY_LIMIT_LEAST: u64 = 1 << 20;
/// The most processes that can be asked for: the kernel has no more.
pub const PIDS_MOST: u32 = 4_194_304;
/// The most of an rlimit that is written as a number: more is `unlimited`.
pub const RLIMIT_MOST: u64 = i64::MAX as u64;
/// The shortest `max_run`: what starts and stops a task takes part of it.
pub const MAX_RUN_LEAST: Duration = Duration::from_secs(1);
/// The shortest fence: a few heartbeats of an agent must fit into it, and the answers to them.
pub const STOP_AFTER_LEAST: Duration = Duration::from_secs(3);
/// The longest fence: what is lost is remembered for longer than that.
pub const STOP_AFTER_MOST: Duration = Duration::from_secs(3600);
/// The most restarts that can be asked for by number; more are `-1`.
pub const ATTEMPTS_MOST: i64 = 1_000_000;
/// The highest number of a signal.
pub const SIGNAL_MAX: i32 = 64;

/// Returns whether a text can name an environment variable or an entry of `meta`: letters, digits, `_`, `-` and `.`, not a digit
/// first, at most [`KEY_CHARS`].
#[must_use]
pub fn is_key(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let other = |c: char| first(c) || c.is_ascii_digit() || c == '-' || c == '.';
    text.len() <= KEY_CHARS && text.starts_with(first) && text.chars().all(other)
}

/// Returns whether the agent gives every task a variable of this name; one from the file would be lost without a word.
#[must_use]
pub fn is_fact(name: &str) -> bool {
    const FACTS: [&str; 13] = [
        "JOB",
        "NAMESPACE",
        "GROUP",
        "TASK",
        "ALLOC_ID",
        "ALLOC_INDEX",
        "ALLOC_DIR",
        "TASK_DIR",
        "NODE_NAME",
        "NODE_ADDRESS",
        "CPU_MILLIS",
        "MEMORY_BYTES",
        "FENCE_TOKEN",
    ];
    const FAMILIES: [&str; 4] = ["PORT_", "HOST_PORT_", "ADDR_", "META_"];
    let Some(fact) = name.strip_prefix("MINIJOB_") else { return false };
    FACTS.contains(&fact) || FAMILIES.iter().any(|family| fact.starts_with(family))
}

/// Returns whether a group's fence can hold: it is long enough to be renewed, and a `singleton` is one allocation at most.
#[must_use]
pub fn is_fence(group: &crate::model::Group) -> bool {
    let is_alone = group.count <= 1 && !group.kind.is_per_node();
    group.stop_after.is_none_or(|after| (STOP_AFTER_LEAST..=STOP_AFTER_MOST).contains(&after))
        && (is_alone || !group.singleton)
}

/// Returns whether a pace can be kept: something moves, and its replacement has time to be healthy.
#[must_use]
pub fn is_pace(migrate: &crate::model::Migrate) -> bool {
    migrate.max_parallel > 0 && migrate.healthy_deadline > migrate.min_healthy_time
}

/// Returns whether a text is `USER` or `USER:GROUP`, each a name or a number.
#[must_use]
pub fn is_user(text: &str) -> bool {
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != ':' && c != '$' && c != '/';
    let is_one = |name: &str| !name.is_empty() && name.len() <= KEY_CHARS && name.chars().all(fits);
    match text.split_once(':') {
        Some((user, group)) => is_one(user) && is_one(group),
        None => is_one(text),
    }
}

/// Checks a path within a task's directory: relative, and never out of it.
///
/// # Errors
/// What is wrong with it, as in "the path is ...".
pub fn inside(path: &str) -> Result<(), &'static str> {
    if path.starts_with('/') {
        return Err("absolute, expected one relative to the task's directory");
    }
    if path.is_empty() || path.ends_with('/') {
        return Err("no path of a file");
    }
    components(path)
}

/// Checks a path of a node: absolute, and without detours.
///
/// # Errors
/// What is wrong with it, as in "the path is ...".
pub fn absolute(path: &str) -> Result<(), &'static str> {
    match path.strip_prefix('/') {
        None => Err("relative, expected an absolute one"),
        Some("") => Err("the root itself"),
        Some(rest) => components(rest.strip_suffix('/').unwrap_or(rest)),
    }
}

fn components(path: &str) -> Result<(), &'static str> {
    // One component of a path is at most this long on every file system of Linux.
    const COMPONENT: usize = 255;
    if path.len() > limits::PATH_CHARS || path.split('/').any(|part| part.len() > COMPONENT) {
        return Err("longer than a path can be");
    }
    if path.contains(char::is_control) {
        return Err("no path: it holds a control character");
    }
    match path.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        Some("..") => Err("not plain: it holds `..`"),
        Some(_) => Err("not plain: it holds `.` or an empty part"),
        None => Ok(()),
    }
}

/// Returns two of the paths of which one is the other, or lies in it: a file cannot be a directory as well.
#[must_use]
pub fn overlap<'p>(paths: impl Iterator<Item = &'p str>) -> Option<(&'p str, &'p str)> {
    let mut sorted: Vec<(Vec<&str>, &str)> = paths.map(|path| (path.split('/').collect(), path)).collect();
    sorted.sort_unstable();
    // What lies in a path follows it at once in this order.
    let pair = sorted.windows(2).find(|pair| pair[1].0.starts_with(&pair[0].0))?;
    Some((pair[0].1, pair[1].1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_within_a_task_never_leaves_it() {
        for good in ["a", "local/nginx.conf", "a/..b/c.", ".env", "é"] {
            assert_eq!(inside(good), Ok(()), "{good}");
        }
        for bad in ["", "/", "/etc/passwd", "..", "a/../../b", "a/..", "./a", "a//b", "a/", "a\0b", "a\nb"] {
            assert!(inside(bad).is_err(), "{bad:?}");
        }
        assert!(inside(&"a".repeat(256)).is_err() && inside(&"a/".repeat(3000)).is_err());
    }

    #[test]
    fn a_path_of_a_node_is_absolute_and_plain() {
        for good in ["/a", "/var/lib/x/", "/a b"] {
            assert_eq!(absolute(good), Ok(()), "{good}");
        }
        for bad in ["", "/", "//", "a", "./a", "/a/../b", "/a//b", "/a\0"] {
            assert!(absolute(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn users_may_have_a_group() {
        for good in ["root", "1000", "www-data:adm", "0:0"] {
            assert!(is_user(good), "{good}");
        }
        for bad in ["", ":", "a:", ":b", "a:b:c", "a b", "${x}"] {
            assert!(!is_user(bad), "{bad}");
        }
    }

    #[test]
    fn a_file_is_no_directory_of_another() {
        let overlap = |paths: &[&'static str]| overlap(paths.iter().copied());
        assert_eq!(overlap(&["a/b", "a-b", "a.b", "b"]), None);
        assert_eq!(overlap(&["a/b", "a-b", "a"]), Some(("a", "a/b")));
        assert_eq!(overlap(&["x", "a", "x"]), Some(("x", "x")));
    }
}
