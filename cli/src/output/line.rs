//! A sentence with a meaning, and the output of a task that belongs to it.

use super::{Tone, harmless};
use crate::limits;

/// A line to tell, with output that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it means.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
    /// Lines of a task's output.
    pub tail: Vec<String>,
}

impl Line {
    /// A line without output.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { tone, text: text.into(), tail: Vec::new() }
    }

    /// Adds the last lines of output.
    #[must_use]
    pub fn tail(mut self, output: &str, lines: usize) -> Self {
        self.tail = last_lines(output, lines);
        self
    }
}

/// Returns the last lines of a task's output, without empty ones at its end, and without what could steer a terminal.
#[must_use]
pub fn last_lines(text: &str, most: usize) -> Vec<String> {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let skipped = lines.len().saturating_sub(most.min(limits::TAIL_OF_FAILURE));
    lines.into_iter().skip(skipped).map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_of_output_are_shown() {
        assert_eq!(last_lines("a\nb\nc\n\n", 2), ["b", "c"]);
        assert_eq!(last_lines("", 2), Vec::<String>::new());
    }
}
