//! YAML text to trees whose every node knows its place. Knows no key of the job file.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScanError, Span, Tag, options};

use super::source::{Mark, Source};
use super::{mistake, syntax};
use crate::limits;

/// A value with its place.
#[derive(Debug)]
pub struct Node {
    /// Where it begins.
    pub at: Mark,
    /// Byte after its last.
    pub end: usize,
    /// What it is.
    pub value: Value,
    /// Nodes in it, itself and what aliases repeat included.
    nodes: usize,
    /// Bytes of text in it, likewise.
    bytes: usize,
    /// Levels of nesting in it.
    depth: usize,
    /// Whether a text in it may hold a `${var.NAME}`.
    pub has_variables: bool,
}

/// How the name of a variable begins where it is used.
pub(super) const VARIABLE: &str = "${var.";

/// What a node is. Text is as written: `1.10` stays `1.10`.
#[derive(Debug)]
pub enum Value {
    /// Nothing written, or `null`.
    Null,
    /// A scalar.
    Text {
        /// Without quotes and with its escapes resolved.
        text: String,
        /// Whether it was written in quotes, so that it is a text whatever it looks like.
        quoted: bool,
    },
    /// A list.
    List(Vec<Rc<Node>>),
    /// A mapping, in the order of the file.
    Map(Vec<(Rc<Node>, Rc<Node>)>),
}

impl Node {
    /// Returns a node of a value whose parts are nodes already.
    fn of(at: Mark, end: usize, value: Value) -> Self {
        let (mut nodes, mut bytes, mut depth, mut has_variables) = (1usize, 0usize, 0, false);
        let mut add = |part: &Self| {
            nodes = nodes.saturating_add(part.nodes);
            bytes = bytes.saturating_add(part.bytes);
            depth = depth.max(part.depth + 1);
            has_variables |= part.has_variables;
        };
        match &value {
            Value::Null => {}
            Value::Text { text, .. } => {
                bytes = text.len();
                has_variables = text.contains(VARIABLE);
            }
            Value::List(items) => items.iter().for_each(|item| add(item)),
            Value::Map(pairs) => pairs.iter().for_each(|(key, item)| {
                add(key);
                add(item);
            }),
        }
        Self { at, end, value, nodes, bytes, depth, has_variables }
    }

    /// Returns another value in the place of this one.
    pub fn with(&self, value: Value) -> Self {
        Self::of(self.at, self.end, value)
    }
}

/// Something wrong that the tree itself shows.
pub(super) struct Flaw {
    pub at: Mark,
    pub message: String,
    pub hint: String,
}

/// The documents of a file.
pub(super) struct Documents {
    pub roots: Vec<Rc<Node>>,
    /// Faults that leave the tree usable.
    pub flaws: Vec<Flaw>,
    /// Where and why reading ended early; the last root is then incomplete.
    pub broken: Option<Flaw>,
    /// The line up to which a broken tree means what it seems to: a text that reaches the break may have swallowed what was
    /// meant to be a key.
    pub sure_before: u32,
}

/// Reads all documents; never recursive, so that no nesting can exhaust the stack.
pub(super) fn read(source: &Source<'_>) -> Documents {
    let parser_options = options! {
        emit_comments: false,
        flow_nesting_limit: limits::YAML_DEPTH,
        block_nesting_limit: limits::YAML_DEPTH,
    };
    let mut builder = Builder::default();
    for item in Parser::new_from_str_with_options(source.text, parser_options) {
        let step = item.map_err(|error| scan_flaw(source, builder.understood, &error));
        if let Err(flaw) = step.and_then(|(event, span)| builder.take(&event, &span)) {
            return builder.finish(Some(flaw));
        }
    }
    builder.finish(None)
}

/// Describes what the parser stumbled over; `understood` is the byte up to which it gave values.
fn scan_flaw(source: &Source<'_>, understood: usize, error: &ScanError) -> Flaw {
    let marker = error.marker();
    let place = |byte| source.mark(mistake::place(error.kind(), source.text, understood, byte));
    let at = marker.byte_offset().map_or_else(|| mark(marker), place);
    let (message, hint) = syntax::describe(error.kind(), source.text, at.byte);
    Flaw { at, message, hint }
}

fn mark(marker: &Marker) -> Mark {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Mark {
        line: number(marker.line().max(1)),
        column: number(marker.col() + 1),
        byte: marker.byte_offset().unwrap_or(0),
    }
}

/// A list or mapping whose end has not come yet.
struct Open {
    at: Mark,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Rc<Node>>),
    /// Pairs, and a key whose value has not come yet.
    Map(Vec<(Rc<Node>, Rc<Node>)>, Option<Rc<Node>>),
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Rc<Node>>,
    roots: Vec<Rc<Node>>,
    flaws: Vec<Flaw>,
    nodes: usize,
    bytes: usize,
    /// Byte after the last text.
    understood: usize,
    /// Lines on which the last text begins and ends.
    last_text: (u32, u32),
}

impl Builder {
    fn take(&mut self, event: &Event<'_>, span: &Span) -> Result<(), Flaw> {
        let at = mark(&span.start);
        let tag_at = span.tag_start.as_ref().map_or(at, mark);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let mut quoted = *style != serde_saphyr::granit_parser::ScalarStyle::Plain;
                quoted |= self.check_tag(tag.as_deref(), tag_at);
                let null = !quoted && matches!(&**text, "" | "~" | "null" | "Null" | "NULL");
                self.last_text = (at.line, mark(&span.end).line);
                let value = if null { Value::Null } else { Value::Text { text: text.to_string(), quoted } };
                self.count(at, 1, text.len())?;
                let end = span.end.byte_offset().unwrap_or(at.byte).max(at.byte);
                self.understood = end;
                self.place(Rc::new(Node::of(at, end, value)), *anchor);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), tag_at);
                self.count(at, 1, 0)?;
                self.open.push(Open { at, anchor: *anchor, items: Items::List(Vec::new()) });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), tag_at);
                self.count(at, 1, 0)?;
                self.open.push(Open { at, anchor: *anchor, items: Items::Map(Vec::new(), None) });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(mark(&span.end).byte),
            Event::Alias(anchor) => self.alias(*anchor, at)?,
            Event::DocumentEnd => self.anchors.clear(),
            _ => {}
        }
        Ok(())
    }

    /// Puts what an anchor names where its alias stands. What it repeats counts as if it were written out: a file of 1 KiB
    /// could otherwise describe more than fits into memory.
    fn alias(&mut self, anchor: usize, at: Mark) -> Result<(), Flaw> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            let message = "this alias stands inside the value that it names".to_owned();
            return Err(Flaw { at, message, hint: String::new() });
        };
        self.count(at, node.nodes, node.bytes)?;
        // Aliases in aliases would nest without end, and whoever walks the tree would run out of stack.
        if self.open.len() + node.depth > limits::YAML_DEPTH {
            let message =
                format!("with this alias the file is nested more than {} levels deep", limits::YAML_DEPTH);
            return Err(Flaw { at, message, hint: String::new() });
        }
        self.place(node, 0);
        Ok(())
    }

    fn count(&mut self, at: Mark, nodes: usize, bytes: usize) -> Result<(), Flaw> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.bytes = self.bytes.saturating_add(bytes);
        let hint = "split the file, or use fewer aliases (`*name`)".to_owned();
        if self.nodes > limits::YAML_NODES {
            let message = format!("the file holds more than {} values", limits::YAML_NODES);
            return Err(Flaw { at, message, hint });
        }
        if self.bytes > limits::YAML_TEXT_BYTES {
            let message = format!("the file holds more than {} bytes of text", limits::YAML_TEXT_BYTES);
            return Err(Flaw { at, message, hint });
        }
        Ok(())
    }

    /// Returns whether the tag says that this is a text whatever it looks like.
    fn check_tag(&mut self, tag: Option<&Tag>, at: Mark) -> bool {
        let Some(tag) = tag else { return false };
        match tag.core_suffix() {
            Some("str") => return true,
            Some(_) => {}
            None if tag.original() == "!" => return true,
            None if self.flaws.len() < limits::ERRORS_PER_FILE => self.flaws.push(Flaw {
                at,
                message: format!("the YAML tag {} is not supported", super::reader::quote(&tag.original())),
                hint: "quote a text that begins with `!`".into(),
            }),
            None => {}
        }
        false
    }

    fn place(&mut self, node: Rc<Node>, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.roots.push(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map(pairs, key)) => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => *key = Some(node),
            },
        }
    }

    fn close(&mut self, end: usize) {
        let Some(Open { at, anchor, items }) = self.open.pop() else { return };
        let value = match items {
            Items::List(items) => Value::List(items),
            Items::Map(pairs, _) => Value::Map(pairs),
        };
        self.place(Rc::new(Node::of(at, end.max(at.byte), value)), anchor);
    }

    fn finish(mut self, broken: Option<Flaw>) -> Documents {
        let end = broken.as_ref().map_or(0, |flaw| flaw.at.byte);
        while !self.open.is_empty() {
            self.close(end);
        }
        let break_line = broken.as_ref().map_or(u32::MAX, |flaw| flaw.at.line);
        let (begins, ends) = self.last_text;
        let sure_before = if ends >= break_line { begins.min(break_line) } else { break_line };
        Documents { roots: self.roots, flaws: self.flaws, broken, sure_before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Documents {
        read(&Source::new("x", text))
    }

    #[test]
    fn text_stays_as_written_and_knows_its_place() {
        let documents = read_text("a: 1.10\nb:\n  - 'yes'\n  - ~\n");
        let Value::Map(pairs) = &documents.roots[0].value else { panic!("no mapping") };
        let (key, value) = &pairs[0];
        assert_eq!((key.at.line, key.at.column, value.at.column), (1, 1, 4));
        assert!(matches!(&value.value, Value::Text { text, quoted: false } if text == "1.10"));
        let Value::List(items) = &pairs[1].1.value else { panic!("no list") };
        assert!(matches!(&items[0].value, Value::Text { text, quoted: true } if text == "yes"));
        assert!(matches!(&items[1].value, Value::Null));
        assert_eq!(items[1].at.line, 4);
    }

    #[test]
    fn aliases_that_multiply_are_refused_before_they_take_memory() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..30 {
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        let broken = read_text(&text).broken.expect("is refused");
        assert!(broken.message.contains("more than"), "{}", broken.message);
        let myself = read_text("a: &a [*a]\n").broken.expect("is refused");
        assert!(myself.message.contains("inside"), "{}", myself.message);
    }

    #[test]
    fn aliases_that_deepen_do_not_exhaust_the_stack() {
        let levels = limits::YAML_DEPTH - 2;
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        let mut text = format!("a0: &a0 {open}{close}\n");
        for level in 1..100 {
            text.push_str(&format!("a{level}: &a{level} {open}*a{}{close}\n", level - 1));
        }
        let broken = read_text(&text).broken.expect("is refused");
        assert!(broken.message.contains("more than"), "{}", broken.message);
    }

    #[test]
    fn what_stands_before_a_syntax_error_is_still_read() {
        let documents = read_text("name: a\ncuont: 3\nargs: [a, b\n");
        assert!(documents.broken.is_some());
        let Value::Map(pairs) = &documents.roots[0].value else { panic!("no mapping") };
        assert_eq!(pairs.len(), 3);
    }
}
