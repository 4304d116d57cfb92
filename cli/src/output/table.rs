//! Columns for people: no borders, two spaces apart, wrapped to the terminal and never cut in a pipe.

use comfy_table::{Attribute, Color, ContentArrangement};

use super::{Out, Paint, Tone};

/// One cell.
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text with a meaning.
    pub fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }

    /// Returns the text as it is shown outside a table.
    #[must_use]
    pub fn painted(&self, paint: Paint) -> String {
        paint.text(self.tone, &self.text)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(Tone::Plain, text)
    }
}

/// A table under construction.
pub struct Table {
    inner: comfy_table::Table,
    coloured: bool,
}

impl Table {
    /// Begins a table with these headings.
    #[must_use]
    pub fn new(out: &Out, headings: &[&str]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(comfy_table::presets::NOTHING);
        if out.paint.0 {
            inner.enforce_styling();
        }
        inner.set_content_arrangement(match out.terminal {
            true => ContentArrangement::Dynamic,
            false => ContentArrangement::Disabled,
        });
        let mut table = Self { inner, coloured: out.paint.0 };
        let headings = headings.iter().map(|text| Cell::toned(Tone::Dim, *text)).collect();
        let row = table.row_of(headings);
        table.inner.set_header(row);
        table
    }

    /// Adds a row; it has as many cells as there are headings.
    pub fn row(&mut self, cells: Vec<Cell>) {
        let row = self.row_of(cells);
        self.inner.add_row(row);
    }

    /// Returns the text, without spaces at the ends of lines.
    #[must_use]
    pub fn render(mut self) -> String {
        for column in self.inner.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.inner.trim_fmt()
    }

    fn row_of(&self, cells: Vec<Cell>) -> Vec<comfy_table::Cell> {
        cells.into_iter().map(|cell| self.cell_of(cell)).collect()
    }

    fn cell_of(&self, cell: Cell) -> comfy_table::Cell {
        let made = comfy_table::Cell::new(cell.text);
        if !self.coloured {
            return made;
        }
        match cell.tone {
            Tone::Plain => made,
            Tone::Good => made.fg(Color::DarkGreen),
            Tone::Warn => made.fg(Color::DarkYellow),
            Tone::Bad => made.fg(Color::DarkRed),
            Tone::Dim => made.add_attribute(Attribute::Dim),
            Tone::Strong => made.add_attribute(Attribute::Bold),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Global;

    #[test]
    fn columns_stand_two_spaces_apart_and_lines_end_without_spaces() {
        let mut out = Out::new(&Global::default());
        (out.terminal, out.paint) = (false, Paint(false));
        let mut table = Table::new(&out, &["JOB", "HEALTH", "WHY"]);
        table.row(vec!["web".into(), Cell::toned(Tone::Good, "healthy"), "".into()]);
        table.row(vec!["a-long-name".into(), "failing".into(), "exit code 1".into()]);
        assert_eq!(
            table.render(),
            "JOB          HEALTH   WHY\nweb          healthy\na-long-name  failing  exit code 1"
        );
    }
}
