//! Output of several sources in one stream. Pure: chunks in, bytes out.

use crate::output::{Paint, Tone};

/// Where a chunk of output comes from. A replacement in the same slot is the same source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The group.
    pub group: String,
    /// The slot in the group.
    pub index: u32,
    /// The task.
    pub task: String,
}

/// Puts chunks after one another; with several sources every line says where it comes from.
#[derive(Debug)]
pub struct Merger {
    job: String,
    prefixes: bool,
    paint: Paint,
    first: Option<Source>,
    /// The source of a line that has no end yet.
    open: Option<Source>,
}

impl Merger {
    /// Begins; `prefixes` says that several sources are known already, else the second one turns them on.
    #[must_use]
    pub fn new(job: &str, prefixes: bool, paint: Paint) -> Self {
        Self { job: job.to_owned(), prefixes, paint, first: None, open: None }
    }

    /// Returns `job.group.index`.
    #[must_use]
    pub fn name(&self, source: &Source) -> String {
        format!("{}.{}.{}", self.job, source.group, source.index)
    }

    /// Returns what to write for a chunk: before each line where it comes from, and `time`, if there is one. Bytes are kept as they
    /// are; a line that another source interrupts is ended.
    pub fn take(&mut self, source: Source, time: Option<&str>, data: &[u8]) -> Vec<u8> {
        self.prefixes |= self.first.as_ref().is_some_and(|first| *first != source);
        self.first.get_or_insert_with(|| source.clone());
        if data.is_empty() {
            return Vec::new();
        }
        let mut bytes = Vec::with_capacity(data.len() + 64);
        let mut goes_on = self.open.as_ref() == Some(&source);
        if self.open.is_some() && !goes_on {
            bytes.push(b'\n');
        }
        let prefix = self.prefix(&source);
        for line in data.split_inclusive(|byte| *byte == b'\n') {
            if !std::mem::take(&mut goes_on) {
                bytes.extend_from_slice(prefix.as_bytes());
                bytes.extend(time.iter().flat_map(|time| [time.as_bytes(), b" "]).flatten());
            }
            bytes.extend_from_slice(line);
        }
        self.open = (!data.ends_with(b"\n")).then_some(source);
        bytes
    }

    fn prefix(&self, source: &Source) -> String {
        if !self.prefixes {
            return String::new();
        }
        self.paint.text(Tone::Dim, &format!("{}/{} | ", self.name(source), source.task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(index: u32) -> Source {
        Source { group: "api".into(), index, task: "server".into() }
    }

    fn text(merger: &mut Merger, index: u32, data: &str) -> String {
        String::from_utf8(merger.take(source(index), None, data.as_bytes())).expect("text")
    }

    #[test]
    fn one_source_is_passed_on_as_it_is() {
        let mut merger = Merger::new("web", false, Paint(false));
        assert_eq!(merger.take(source(0), None, b"a\x00\xff\x1b[31m\n"), b"a\x00\xff\x1b[31m\n");
        assert_eq!(text(&mut merger, 0, "no end"), "no end");
    }

    #[test]
    fn with_several_sources_every_line_says_where_it_comes_from() {
        let mut merger = Merger::new("web", true, Paint(false));
        assert_eq!(text(&mut merger, 0, "a\nb\n"), "web.api.0/server | a\nweb.api.0/server | b\n");
        assert_eq!(text(&mut merger, 1, "c\n"), "web.api.1/server | c\n");
    }

    #[test]
    fn a_second_source_turns_the_prefixes_on_and_a_replacement_does_not() {
        let mut merger = Merger::new("web", false, Paint(false));
        assert_eq!(text(&mut merger, 0, "a\n"), "a\n");
        assert_eq!(text(&mut merger, 0, "b\n"), "b\n");
        assert_eq!(text(&mut merger, 1, "c\n"), "web.api.1/server | c\n");
        assert_eq!(text(&mut merger, 0, "d\n"), "web.api.0/server | d\n");
    }

    #[test]
    fn every_line_has_its_time_behind_its_source_but_not_in_its_middle() {
        let mut merger = Merger::new("web", true, Paint(false));
        let mut text = |time, data: &str| {
            String::from_utf8(merger.take(source(0), Some(time), data.as_bytes())).expect("text")
        };
        assert_eq!(text("09:30", "a\nb"), "web.api.0/server | 09:30 a\nweb.api.0/server | 09:30 b");
        assert_eq!(text("09:31", "c\nd\n"), "c\nweb.api.0/server | 09:31 d\n");
    }

    #[test]
    fn lines_of_two_sources_never_run_into_one_another() {
        let mut merger = Merger::new("web", true, Paint(false));
        assert_eq!(text(&mut merger, 0, "half"), "web.api.0/server | half");
        assert_eq!(text(&mut merger, 0, " whole\n"), " whole\n");
        assert_eq!(text(&mut merger, 0, "half"), "web.api.0/server | half");
        assert_eq!(text(&mut merger, 1, "b\n"), "\nweb.api.1/server | b\n");
    }
}
