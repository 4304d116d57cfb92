//! A key with its value and where it came from: what `--print-config` shows, and what tells two readings apart.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::{Component, Path};

use proto::error::Error;

use crate::exit::Failure;
use crate::output::Out;

use super::origin::{Origin, Setting};

/// A key as it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key; of one within a mapping `mapping.key`.
    pub key: &'static str,
    /// Its value as YAML on one line; none where it is not set and nothing stands for it.
    pub value: Option<String>,
    /// Who said so.
    pub origin: Origin,
    /// Whether a change of it is taken over by SIGHUP.
    pub live: bool,
    /// Whether it is there and never shown.
    pub secret: bool,
}

impl Entry {
    /// Makes the entry of a setting whose change needs a restart; `show` gives its value as YAML.
    pub(super) fn new<T>(
        key: &'static str,
        setting: &Setting<T>,
        show: impl FnOnce(&T) -> Option<String>,
    ) -> Self {
        Self { key, value: show(&setting.value), origin: setting.origin.clone(), live: false, secret: false }
    }

    /// Makes the entry of a secret: that it is there, and never what it is.
    pub(super) fn secret(key: &'static str, origin: &Origin) -> Self {
        Self { key, value: None, origin: origin.clone(), live: false, secret: true }
    }

    /// The same of a setting whose change SIGHUP takes over.
    pub(super) fn live(self) -> Self {
        Self { live: true, ..self }
    }
}

/// A key that has another value than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub key: &'static str,
    /// What it was; none: not set.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
    /// Whether it was taken over, or waits for a restart.
    pub live: bool,
}

/// Returns what differs between two readings of the same keys.
#[must_use]
pub fn changes(before: &[Entry], after: &[Entry]) -> Vec<Change> {
    let pairs = after.iter().filter_map(|new| Some((before.iter().find(|old| old.key == new.key)?, new)));
    let changed = pairs.filter(|(old, new)| old.value != new.value);
    let change = |(old, new): (&Entry, &Entry)| Change {
        key: new.key,
        before: old.value.clone(),
        after: new.value.clone(),
        live: new.live,
    };
    changed.map(change).collect()
}

/// Says what a reading on SIGHUP changed, and what of it waits for a restart.
pub fn log_changes(changes: &[Change]) {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
    if changes.is_empty() {
        tracing::info!("configuration read again: nothing changed");
    }
    for Change { key, before, after, live } in changes {
        let (before, after) = (shown(before), shown(after));
        if *live {
            tracing::info!("configuration: {key} is now {after}, was {before}");
        } else {
            tracing::warn!("configuration: {key} is to be {after} and stays {before} until a restart");
        }
    }
}

/// Says that a file was read again and is not followed.
pub fn log_refused(error: &Error) {
    let details = error.details.join("\n");
    tracing::error!(
        "configuration stays as it was: {}{}{details}",
        error.message,
        if details.is_empty() { "" } else { "\n" }
    );
}

/// Shows entries on standard output: as a file, or as a document whose values are YAML on one line.
///
/// # Errors
/// [`Failure::Output`].
pub fn show(entries: &[Entry], out: &mut Out) -> Result<(), Failure> {
    if !out.json {
        return out.bytes(print(entries).as_bytes());
    }
    let item = |entry: &Entry| {
        let origin = entry.origin.to_string();
        serde_json::json!({"key": entry.key, "value": entry.value, "origin": origin})
    };
    out.document(&serde_json::json!({"items": entries.iter().map(item).collect::<Vec<_>>()}))
}

/// Writes entries as a file of their own, each line with a comment that says where its value came from. What is not set is a
/// comment as a whole.
#[must_use]
pub fn print(entries: &[Entry]) -> String {
    let mut lines: Vec<(String, Option<&Origin>)> = Vec::new();
    let mut section = "";
    for entry in entries {
        let (outer, key) = entry.key.split_once('.').unwrap_or(("", entry.key));
        if outer != section && !outer.is_empty() {
            lines.push((format!("{outer}:"), None));
        }
        section = outer;
        let lead = if outer.is_empty() { "" } else { "  " };
        let text = match &entry.value {
            Some(value) => format!("{lead}{key}: {value}"),
            None if entry.secret => format!("{lead}# {key}: (not shown)"),
            None => format!("{lead}# {key}: not set"),
        };
        lines.push((text, Some(&entry.origin)));
    }
    // Short lines have their comments in one column; a long one does not push all others away.
    const WIDEST: usize = 48;
    let width = |text: &str| text.chars().count();
    let column =
        lines.iter().map(|(text, _)| width(text)).filter(|width| *width <= WIDEST).max().unwrap_or(0);
    let mut out = String::new();
    for (text, origin) in lines {
        let _ = match origin {
            Some(origin) => writeln!(out, "{text:column$}  # {origin}"),
            None => writeln!(out, "{text}"),
        };
    }
    out
}

/// Writes a text as YAML, also within `[ ]` and `{ }`: plain where nothing can mistake it, else in quotes.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    let inner = |c: char| harmless(c) || c == ':';
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && text.ends_with(harmless)
        && text.chars().all(inner)
        && !matches!(text, "null" | "Null" | "NULL");
    if plain {
        return Cow::Borrowed(text);
    }
    // Every JSON string is YAML, and writing one cannot fail.
    Cow::Owned(serde_json::to_string(text).unwrap_or_default())
}

/// Writes a text that may be missing.
pub(super) fn optional(given: Option<&str>) -> Option<String> {
    given.map(|given| text(given).into_owned())
}

/// Writes a path as a file may hold it: a flag's is relative to where this was started, which a file's is not.
pub(super) fn path(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let climbs = absolute.components().any(|part| part == Component::ParentDir);
    // What is above a link is not what is above its name, so that only the system can tell.
    let plain = if climbs { absolute.canonicalize().unwrap_or(absolute) } else { absolute };
    text(&plain.display().to_string()).into_owned()
}

/// Writes a list of texts on one line.
pub(super) fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let texts: Vec<Cow<'_, str>> = texts.into_iter().map(text).collect();
    format!("[{}]", texts.join(", "))
}

/// Writes a mapping on one line.
pub(super) fn mapping<'t>(pairs: impl IntoIterator<Item = (&'t str, String)>) -> String {
    let pairs: Vec<String> =
        pairs.into_iter().map(|(key, value)| format!("{}: {value}", text(key))).collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &'static str, value: &str, live: bool) -> Entry {
        let value = Some(value.to_owned()).filter(|value| !value.is_empty());
        Entry { key, value, origin: Origin::Default, live, secret: false }
    }

    #[test]
    fn only_what_differs_is_a_change_and_says_whether_it_waits() {
        let before = [entry("name", "a", false), entry("meta", "{}", true), entry("http", "", false)];
        let after = [entry("name", "b", false), entry("meta", "{}", true), entry("http", "x", false)];
        let changes = changes(&before, &after);
        let keys: Vec<_> = changes.iter().map(|change| (change.key, change.live)).collect();
        assert_eq!(keys, [("name", false), ("http", false)]);
        assert_eq!(changes[1].before, None);
    }

    #[test]
    fn texts_are_quoted_where_yaml_could_mistake_them() {
        for plain in ["a", "/srv/pg", "10.0.0.1:4650", "500m", "1s..2s", "a@b"] {
            assert_eq!(text(plain), plain);
        }
        for quoted in ["", "a: b", "a:", "null", "~", "#a", "a b", "[a", "- a", "*a", "a,b", "ä", "\n"] {
            assert!(text(quoted).starts_with('"'), "{quoted}");
        }
    }

    #[test]
    fn keys_of_a_mapping_stand_below_it() {
        let entries =
            [entry("name", "a", false), entry("raft.heartbeat", "1s", false), entry("http", "", false)];
        let lines = [
            "name: a          # default",
            "raft:",
            "  heartbeat: 1s  # default",
            "# http: not set  # default",
        ];
        assert_eq!(print(&entries).lines().collect::<Vec<_>>(), lines);
    }
}
