//! Collects faults while a tree is decoded, and reads the scalars that every noun is made of.
//!
//! A read that fails notes the fault and returns nothing; its caller goes on with a default, so that one pass finds all faults.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::fault::{Fault, Faults};
use super::given::Given;
use super::source::{Mark, Source};
use super::tree::{Node, Value};
use crate::{limits, names, units};

pub use crate::names::{did_you_mean, nearest};

/// Faults kept before they are sorted: enough that the first of the file are among them.
const KEPT: usize = 10 * limits::ERRORS_PER_FILE;

/// The decoding of one file.
pub struct Reader<'r> {
    source: &'r Source<'r>,
    /// What is not in the file.
    pub given: &'r Given<'r>,
    /// The variables that its jobs declare.
    pub declared: BTreeSet<String>,
    /// Bytes of text that variables were filled into.
    pub filled_bytes: usize,
    /// Bytes of the files that were read for the present job.
    pub file_bytes: usize,
    /// Places of which nothing more is said, in bytes: what stands there is not what was meant.
    muted: Vec<Range<usize>>,
    /// Line from which on the tree is incomplete: what stands there may not mean what it seems to.
    broken_from: Option<u32>,
    seen: BTreeSet<(Mark, String)>,
    found: Vec<(Mark, String, String)>,
}

impl<'r> Reader<'r> {
    /// Begins with no fault.
    pub fn new(source: &'r Source<'r>, given: &'r Given<'r>) -> Self {
        Self {
            source,
            given,
            declared: BTreeSet::new(),
            filled_bytes: 0,
            file_bytes: 0,
            muted: Vec::new(),
            broken_from: None,
            seen: BTreeSet::new(),
            found: Vec::new(),
        }
    }

    /// Notes a fault. A second one of the same words at the same place (an anchor that is used twice) is the same.
    pub fn fault(&mut self, at: Mark, message: impl Into<String>, hint: impl Into<String>) {
        let message = message.into();
        let muted = self.muted.iter().any(|place| place.contains(&at.byte));
        if muted || self.full() || self.broken_from.is_some_and(|line| at.line >= line) {
            return;
        }
        if self.seen.insert((at, message.clone())) {
            self.found.push((at, message, hint.into()));
        }
    }

    /// Returns a fault without noting it.
    pub fn described(&self, at: Mark, message: String, hint: String) -> Fault {
        self.source.fault(at, message, hint)
    }

    /// Notes that something is not there; not while the tree is incomplete, where it may stand in the unread part.
    pub fn missing(&mut self, at: Mark, message: impl Into<String>, hint: impl Into<String>) {
        if self.broken_from.is_none() {
            self.fault(at, message, hint);
        }
    }

    /// Notes a fault at the first place of `part` within a node.
    pub fn fault_within(
        &mut self,
        node: &Node,
        part: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let text = self.source.text.get(node.at.byte..node.end).unwrap_or("");
        let at = text.find(part).map_or(node.at, |offset| self.source.mark(node.at.byte + offset));
        self.fault(at, message, hint);
    }

    /// Takes no more faults about a node: one that was noted explains them.
    pub fn mute(&mut self, node: &Node) {
        // More places than faults are kept would make a hostile file slow and nothing clearer.
        if self.muted.len() < KEPT {
            self.muted.push(node.at.byte..node.end.max(node.at.byte + 1));
        }
    }

    /// Says that the tree is incomplete from a line on.
    pub fn broken_from(&mut self, line: u32) {
        self.broken_from = Some(line);
    }

    /// Returns whether no further fault is kept.
    pub fn full(&self) -> bool {
        self.found.len() >= KEPT
    }

    /// Returns how many faults there are.
    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// Returns the faults in order of position, or nothing if there is none.
    pub fn finish(mut self) -> Option<Faults> {
        self.found.sort_by_key(|(at, ..)| *at);
        self.found.truncate(limits::ERRORS_PER_FILE);
        let faults: Vec<_> =
            self.found.into_iter().map(|(at, message, hint)| self.source.fault(at, message, hint)).collect();
        (!faults.is_empty()).then_some(Faults(faults))
    }

    /// Reads a text as it is written, whatever YAML would take it for.
    pub fn text<'n>(&mut self, node: &'n Node, key: &str) -> Option<&'n str> {
        match &node.value {
            Value::Text { text, .. } if text.contains('\0') => {
                self.fault(
                    node.at,
                    format!("{} holds a NUL character, which no program can be given", quote(key)),
                    "",
                );
                None
            }
            Value::Text { text, .. } => Some(text),
            Value::Null => {
                self.fault(node.at, format!("{} has no value", quote(key)), "write `\"\"` for an empty text");
                None
            }
            _ => self.expected(node, key, "a text", ""),
        }
    }

    /// Reads a whole number within a range.
    pub fn whole(&mut self, node: &Node, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let what = format!("a whole number from {} to {}", range.start(), range.end());
        let Value::Text { text, quoted } = &node.value else {
            return self.expected(node, key, &what, "");
        };
        match text.parse::<i64>() {
            Ok(number) if *quoted => {
                let message = format!("{} is a text in quotes, expected {what}", quote(key));
                self.fault(node.at, message, format!("remove the quotes: `{number}`"));
                None
            }
            Ok(number) if range.contains(&number) && !text.starts_with('+') => Some(number),
            _ => self.expected(node, key, &what, ""),
        }
    }

    /// Reads `true` or `false`.
    pub fn bool(&mut self, node: &Node, key: &str) -> Option<bool> {
        const WORDS: [(&str, bool); 2] = [("true", true), ("false", false)];
        if let Value::Text { text, .. } = &node.value {
            let hint = match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" | "1" => "write `true`",
                "no" | "off" | "n" | "0" => "write `false`",
                _ => "",
            };
            if !hint.is_empty() {
                return self.expected(node, key, "`true` or `false`", hint);
            }
        }
        self.word(node, key, &WORDS)
    }

    /// Reads a duration of at least `least`.
    pub fn duration(&mut self, node: &Node, key: &str, least: Duration) -> Option<Duration> {
        let duration = self.quantity(node, key, "a duration such as `5s`", units::parse_duration)?;
        if duration < least {
            return self.expected(node, key, &format!("at least `{}`", units::show_duration(least)), "");
        }
        Some(duration)
    }

    /// Reads a size in bytes of at least `least`.
    pub fn size(&mut self, node: &Node, key: &str, least: u64) -> Option<u64> {
        let bytes = self.quantity(node, key, "a size such as `256MiB`", units::parse_size)?;
        if bytes < least {
            return self.expected(node, key, &format!("at least `{}`", units::show_size(least)), "");
        }
        Some(bytes)
    }

    /// Reads an amount of CPU in millicores.
    pub fn cpu(&mut self, node: &Node, key: &str) -> Option<u32> {
        self.quantity(node, key, "an amount of CPU such as `500m` or `0.5`", units::parse_cpu)
    }

    fn quantity<T>(
        &mut self,
        node: &Node,
        key: &str,
        what: &str,
        parse: fn(&str) -> Result<T, units::BadUnit>,
    ) -> Option<T> {
        let Value::Text { text, .. } = &node.value else { return self.expected(node, key, what, "") };
        if text.len() > limits::NAME_CHARS {
            return self.expected(node, key, what, "");
        }
        match parse(text) {
            Ok(amount) => Some(amount),
            Err(units::BadUnit::Bare { suggestion, .. }) => {
                let message = format!("{} is {} without a unit", quote(key), quote(text));
                self.fault(node.at, message, format!("did you mean `{suggestion}`?"));
                None
            }
            Err(units::BadUnit::Otherwise { what, suggestion, .. }) => {
                let message = format!("{} is {}, which is not {what}", quote(key), quote(text));
                self.fault(node.at, message, did_you_mean(&suggestion));
                None
            }
            Err(units::BadUnit::Unreadable { what, expected, .. }) => {
                let message = format!("{} is {}, which is not {what}", quote(key), quote(text));
                self.fault(node.at, message, format!("expected {expected}"));
                None
            }
            Err(units::BadUnit::Range { what, expected, .. }) => {
                let message = format!("{} is {}, out of range for {what}", quote(key), quote(text));
                self.fault(node.at, message, format!("expected {expected}"));
                None
            }
        }
    }

    /// Reads one of a few words.
    pub fn word<T: Copy>(&mut self, node: &Node, key: &str, words: &[(&str, T)]) -> Option<T> {
        let all = || one_of(words.iter().map(|(word, _)| *word));
        let Value::Text { text, .. } = &node.value else { return self.expected(node, key, &all(), "") };
        if let Some((_, value)) = words.iter().find(|(word, _)| word == text) {
            return Some(*value);
        }
        let hint = nearest(text, words.iter().map(|(word, _)| *word)).map(did_you_mean).unwrap_or_default();
        self.expected(node, key, &all(), &hint)
    }

    /// Reads a name: `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, at most 63 characters.
    pub fn name(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.text(node, what)?;
        if names::is_name(text) {
            return Some(text.to_owned());
        }
        let message = format!("{} is not a name of a {what}", quote(text));
        self.fault(node.at, message, names::advice(names::RULE, text));
        None
    }

    /// Reads a percentage: `10%`.
    pub fn percent(&mut self, node: &Node, key: &str) -> Option<u8> {
        const WHAT: &str = "a percentage from 0% to 100%";
        let Value::Text { text, .. } = &node.value else { return self.expected(node, key, WHAT, "") };
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let number =
            text.strip_suffix('%').filter(|number| digits(number)).and_then(|number| number.parse().ok());
        match number.filter(|percent| *percent <= 100) {
            Some(percent) => Some(percent),
            None if !text.is_empty() && text.len() <= 3 && digits(text) => {
                self.expected(node, key, WHAT, &did_you_mean(&format!("{text}%")))
            }
            None => self.expected(node, key, WHAT, ""),
        }
    }

    /// Notes that a value is not what its key wants.
    pub fn expected<T>(&mut self, node: &Node, key: &str, what: &str, hint: &str) -> Option<T> {
        let hint = if hint.is_empty() { template_hint(node) } else { hint };
        self.fault(node.at, format!("{} is {}, expected {what}", quote(key), shown(node)), hint);
        None
    }
}

/// Explains `{{ name }}`, which YAML takes for a mapping whose key is a mapping.
fn template_hint(node: &Node) -> &'static str {
    let is_map = |node: &Node| matches!(node.value, Value::Map(_));
    match &node.value {
        Value::Map(pairs) if pairs.iter().any(|(key, _)| is_map(key)) => {
            "a job file is no template: fill in `{{ }}` before, or quote a text that holds it"
        }
        _ => "",
    }
}

/// Returns what a node is, for a message.
pub fn shown(node: &Node) -> String {
    match &node.value {
        Value::Null => "empty".into(),
        Value::Text { text, .. } if text.is_empty() => "an empty text".into(),
        Value::Text { text, .. } => quote(text),
        Value::List(_) => "a list".into(),
        Value::Map(_) => "a mapping".into(),
    }
}

/// Puts foreign text between backticks: bounded, and without control characters.
pub fn quote(text: &str) -> String {
    const MOST: usize = 60;
    let mut shown: String =
        text.chars().take(MOST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// Lists words to choose from: `` `a`, `b` or `c` ``.
pub(super) fn one_of<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let quoted: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        all => all.concat(),
    }
}
