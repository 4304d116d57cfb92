//! Standard output. Writing never panics: a reader that has gone is a [`Failure`] that ends the command quietly.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use super::{Paint, Tone};
use crate::args::Global;
use crate::exit::Failure;

/// Standard output, and how it is to be used.
pub struct Out {
    /// Whether documents are asked for.
    pub json: bool,
    /// Whether a person looks at it directly.
    pub terminal: bool,
    /// Columns of a line: as `COLUMNS` says, else those of the terminal; none elsewhere: there it has no end.
    pub width: Option<u16>,
    /// Colour.
    pub paint: Paint,
    to: Box<dyn Write>,
}

/// Reads `COLUMNS`; what is no number, or none that a line can have, asks for nothing.
fn asked_width(columns: Option<&str>) -> Option<u16> {
    columns?.trim().parse().ok().filter(|width| *width > 0)
}

fn terminal_width() -> Option<u16> {
    crate::terminal::size().and_then(|(_, columns)| u16::try_from(columns).ok())
}

/// Returns the columns of a line: as `COLUMNS` says, else those of the terminal, where it goes to one.
pub(super) fn width(terminal: bool) -> Option<u16> {
    asked_width(std::env::var("COLUMNS").ok().as_deref()).or_else(|| terminal.then(terminal_width).flatten())
}

impl Out {
    /// Opens standard output as the flags say.
    #[must_use]
    pub fn new(global: &Global) -> Self {
        let stdout = std::io::stdout();
        let terminal = stdout.is_terminal() && !global.json;
        Self {
            json: global.json,
            terminal,
            width: width(terminal),
            paint: Paint::of(global.color, &stdout),
            to: Box::new(stdout),
        }
    }

    /// Writes a line, or several that are joined by line ends.
    ///
    /// # Errors
    /// [`Failure::Output`] when standard output takes no more.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Writes a line in a tone.
    ///
    /// # Errors
    /// See [`Out::line`].
    pub fn toned(&mut self, tone: Tone, text: &str) -> Result<(), Failure> {
        let text = self.paint.text(tone, text);
        self.line(&text)
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// See [`Out::line`].
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.to.write_all(bytes).and_then(|()| self.to.flush()).map_err(Failure::Output)
    }

    /// Writes a document on a line of its own.
    ///
    /// # Errors
    /// See [`Out::line`].
    pub fn document(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        let mut text = serde_json::to_vec(document).map_err(|cause| Failure::Output(cause.into()))?;
        text.push(b'\n');
        self.bytes(&text)
    }

    /// Writes a document as the server sent it, so that fields which this program does not know are kept.
    ///
    /// # Errors
    /// See [`Out::line`].
    pub fn passed_on(&mut self, document: &[u8]) -> Result<(), Failure> {
        self.bytes(&[document.trim_ascii_end(), b"\n"].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_is_asked_for_by_a_number_of_columns() {
        assert_eq!(asked_width(Some("80")), Some(80));
        for none in [None, Some(""), Some("0"), Some("wide"), Some("-1")] {
            assert_eq!(asked_width(none), None, "{none:?}");
        }
    }
}
