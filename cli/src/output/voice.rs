//! Standard error: what went wrong, and what is worth knowing beside the output.

use std::io::{IsTerminal as _, Write};

use proto::error::Error;

use super::paragraph::glued;
use super::{Paint, Tone, behind, out};
use crate::args::Global;

/// How to speak on standard error. A closed one is no reason to stop, so nothing here fails.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    json: bool,
    paint: Paint,
    /// Columns of a line; none: it has no end.
    width: Option<u16>,
}

impl Voice {
    /// Speaks as the flags say.
    #[must_use]
    pub fn new(global: &Global) -> Self {
        let stderr = std::io::stderr();
        let width = out::width(stderr.is_terminal() && !global.json);
        Self { json: global.json, paint: Paint::of(global.color, &stderr), width }
    }

    /// Speaks JSON.
    #[must_use]
    pub const fn json() -> Self {
        Self { json: true, paint: Paint(false), width: None }
    }

    /// Whether it speaks JSON.
    #[must_use]
    pub const fn is_json(self) -> bool {
        self.json
    }

    /// Says what went wrong: `error: message`, the single faults, and `hint: next step`; with `--json` the document.
    pub fn error(self, error: &Error) {
        let text = if self.json {
            serde_json::to_string(error).unwrap_or_else(|_| error.to_string())
        } else {
            self.render(error)
        };
        say(&text);
    }

    /// Says something beside the output, such as a lost connection. Scripts are left alone.
    pub fn notice(self, text: &str) {
        if !self.json {
            say(&self.paint.text(Tone::Dim, &format!("minijob: {text}")));
        }
    }

    fn render(self, error: &Error) -> String {
        let mut lines = vec![self.sentence(Tone::Bad, "error:", &error.message)];
        lines.extend(error.details.iter().flat_map(|detail| detail.lines()).map(|line| format!("  {line}")));
        if !error.hint.is_empty() {
            lines.push(self.sentence(Tone::Strong, "hint:", &error.hint));
        }
        lines.join("\n")
    }

    /// Writes a sentence behind its word, wrapped where a line ends. What holds a word that no line can hold, such as a path, stays as
    /// it is: it is there to be copied.
    fn sentence(self, tone: Tone, word: &str, text: &str) -> String {
        let fits = |width: &u16| {
            let room = usize::from(*width).saturating_sub(word.len() + 1);
            let widest = glued(text, *width).split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
            widest <= room && !text.contains('\n')
        };
        let plain = behind(&format!("{word} "), text, self.width.filter(fits));
        format!("{}{}", self.paint.text(tone, word), plain.strip_prefix(word).unwrap_or(&plain))
    }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::error::Kind;

    #[test]
    fn an_error_says_what_then_the_faults_then_the_next_step() {
        let voice = Voice { json: false, paint: Paint(false), width: None };
        let error =
            Error::new(Kind::Invalid, "2 faults").details(vec!["a:1: one\n  x: 1".into(), "two".into()]);
        assert_eq!(
            voice.render(&error.hint("mend them")),
            "error: 2 faults\n  a:1: one\n    x: 1\n  two\nhint: mend them"
        );
    }

    #[test]
    fn an_error_on_a_terminal_is_wrapped_and_what_is_shown_of_a_file_is_not() {
        let voice = |width| Voice { json: false, paint: Paint(false), width: Some(width) };
        let excerpt = format!("web.yml:1:1: {}", "long ".repeat(20));
        let error =
            Error::new(Kind::Conflict, "there is a job `sleep` already, and it has another description")
                .details(vec![excerpt.clone()])
                .hint("give this one a name of its own (`--name`), or say `--name sleep` to change that one");
        let shown = voice(60).render(&error);
        let expected = format!(
            "error: there is a job `sleep` already, and it has another\n       description\n  {excerpt}\n\
             hint: give this one a name of its own (`--name`), or say\n      `--name sleep` to change that one"
        );
        assert_eq!(shown, expected);
        let path = Error::new(Kind::Invalid, format!("cannot read {}", "/a/path".repeat(12)));
        assert!(!voice(60).render(&path).contains('\n'), "a path is copied as a whole");
    }
}
