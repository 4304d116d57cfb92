//! Standard error: what went wrong, and what is worth knowing beside the output.

use std::io::Write;

use proto::error::Error;

use super::{Paint, Tone};
use crate::args::Global;

/// How to speak on standard error. A closed one is no reason to stop, so nothing here fails.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    json: bool,
    paint: Paint,
}

impl Voice {
    /// Speaks as the flags say.
    #[must_use]
    pub fn new(global: &Global) -> Self {
        Self { json: global.json, paint: Paint::of(global.color, &std::io::stderr()) }
    }

    /// Speaks JSON.
    #[must_use]
    pub const fn json() -> Self {
        Self { json: true, paint: Paint(false) }
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
        let mut lines = vec![format!("{} {}", self.paint.text(Tone::Bad, "error:"), error.message)];
        lines.extend(error.details.iter().flat_map(|detail| detail.lines()).map(|line| format!("  {line}")));
        if !error.hint.is_empty() {
            lines.push(format!("{} {}", self.paint.text(Tone::Strong, "hint:"), error.hint));
        }
        lines.join("\n")
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
        let voice = Voice { json: false, paint: Paint(false) };
        let error =
            Error::new(Kind::Invalid, "2 faults").details(vec!["a:1: one\n  x: 1".into(), "two".into()]);
        assert_eq!(
            voice.render(&error.hint("mend them")),
            "error: 2 faults\n  a:1: one\n    x: 1\n  two\nhint: mend them"
        );
    }
}
