//! Colour, or none.

use std::io::IsTerminal;

use crate::args::Color;

/// What a text means; the colour follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// To know.
    Warn,
    /// To act on.
    Bad,
    /// Beside the point.
    Dim,
    /// A heading.
    Strong,
}

impl Tone {
    /// The SGR parameter for it.
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("31"),
            Self::Dim => Some("2"),
            Self::Strong => Some("1"),
        }
    }
}

/// Whether texts are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// Decides for a stream: an explicit wish wins; else a terminal that can, unless `NO_COLOR` is set.
    pub fn of(wish: Color, stream: &impl IsTerminal) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self(match wish {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => stream.is_terminal() && !set("NO_COLOR") && !dumb,
        })
    }

    /// Returns the text in the colour of its tone.
    #[must_use]
    pub fn text(self, tone: Tone, text: &str) -> String {
        match tone.code() {
            Some(code) if self.0 => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_used_only_where_it_is_on() {
        assert_eq!(Paint(true).text(Tone::Bad, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(Paint(true).text(Tone::Plain, "x"), "x");
        assert_eq!(Paint(false).text(Tone::Bad, "x"), "x");
    }
}
