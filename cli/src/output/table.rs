//! Columns for people: no borders, two spaces apart, fitted to the line and never cut in a pipe that has none.

use comfy_table::{Attribute, Color, ColumnConstraint, ContentArrangement, Width};

use super::paragraph::{SENTENCE, glued, longest_command, loosened, paragraph};
use super::{Out, Paint, Tone};

/// Between two columns.
const GAP: u16 = 2;
/// How much narrower a line stands below its row.
const INDENT: u16 = 4;

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

/// A table under construction. Its last column may hold sentences; the others hold words that are never broken.
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    /// Columns of a line; none: it has no end.
    width: Option<u16>,
    coloured: bool,
}

impl Table {
    /// Begins a table with these headings.
    #[must_use]
    pub fn new(out: &Out, headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new(), width: out.width, coloured: out.paint.0 }
    }

    /// Adds a row; it has as many cells as there are headings.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Returns the text, without spaces at the ends of lines.
    ///
    /// Where a line has an end the last column takes what the others leave; where that is too little for a sentence, or for a command
    /// in it, its text stands below the row. So do further columns that do not fit; all that stands there has its heading.
    #[must_use]
    pub fn render(self) -> String {
        let all = self.headings.len();
        let mut grid = self.grid(all);
        let Some(width) = self.width else { return loosened(&grid.trim_fmt()) };
        let widths = grid.column_max_content_widths();
        let commands = self.rows.iter().filter_map(|row| row.last()).map(|cell| longest_command(&cell.text));
        let beside = columns_beside(&widths, width, commands.max().unwrap_or(0));
        if beside == all {
            let others: u16 = widths.iter().rev().skip(1).map(|column| column + GAP).sum();
            let constraint = ColumnConstraint::UpperBoundary(Width::Fixed(width.saturating_sub(others)));
            grid.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            if let Some(last) = grid.column_mut(all - 1) {
                last.set_constraint(constraint);
            }
            return loosened(&grid.trim_fmt());
        }
        let lines = loosened(&self.grid(beside).trim_fmt());
        let mut lines = lines.lines();
        let mut shown: Vec<String> = lines.next().map(str::to_owned).into_iter().collect();
        for (line, row) in lines.zip(&self.rows) {
            shown.push(line.to_owned());
            shown.extend(self.below(row, beside, width));
        }
        shown.join("\n")
    }

    /// The first columns, each as wide as its content.
    fn grid(&self, columns: usize) -> comfy_table::Table {
        let mut grid = comfy_table::Table::new();
        grid.load_style(comfy_table::presets::NOTHING);
        grid.set_content_arrangement(ContentArrangement::Disabled);
        if self.coloured {
            grid.enforce_styling();
        }
        let heading = |text: &&str| self.cell_of(&Cell::toned(Tone::Dim, *text));
        grid.set_header(self.headings.iter().take(columns).map(heading).collect::<Vec<_>>());
        for row in &self.rows {
            grid.add_row(row.iter().take(columns).map(|cell| self.cell_of(cell)).collect::<Vec<_>>());
        }
        for column in grid.column_iter_mut() {
            column.set_padding((0, GAP)).set_constraint(ColumnConstraint::ContentWidth);
        }
        if let Some(last) = grid.column_mut(columns - 1) {
            last.set_padding((0, 0));
        }
        grid
    }

    /// What stands below a row, wrapped between words: the columns from `beside` on, each with its heading.
    fn below(&self, row: &[Cell], beside: usize, width: u16) -> Option<String> {
        let named = |(heading, cell): (&&str, &Cell)| {
            (!cell.text.is_empty()).then(|| format!("{}: {}", heading.to_lowercase(), cell.text))
        };
        let texts = self.headings.iter().zip(row).skip(beside).filter_map(named);
        let text = texts.collect::<Vec<_>>().join("; ");
        (!text.is_empty()).then(|| paragraph(&one_line(&text), width, INDENT))
    }

    fn cell_of(&self, cell: &Cell) -> comfy_table::Cell {
        let text = one_line(&cell.text);
        let made = comfy_table::Cell::new(glued(&text, self.width.unwrap_or(u16::MAX)));
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

/// Returns how many columns stand beside each other in a line: all, where the last has room for a sentence and the longest command in
/// it, or for all that it holds; else as many of the others as fit, at least one.
fn columns_beside(widths: &[u16], line: u16, command: u16) -> usize {
    let Some((last, others)) = widths.split_last() else { return 0 };
    let taken: u16 = others.iter().map(|column| column.saturating_add(GAP)).fold(0, u16::saturating_add);
    if others.is_empty() || line.saturating_sub(taken) >= SENTENCE.max(command).min(*last) {
        return widths.len();
    }
    let mut end = 0u16;
    let fit = others.iter().take_while(|column| {
        end = end.saturating_add(**column);
        let fits = end <= line;
        end = end.saturating_add(GAP);
        fits
    });
    fit.count().max(1)
}

/// A row is a line; what came with line ends of its own goes on in the same one.
fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Global;

    fn table(width: Option<u16>) -> Table {
        let out = Out::new(&Global::default());
        let mut table = Table::new(&out, &["JOB", "HEALTH", "DOWN SINCE", "WHY"]);
        (table.width, table.coloured) = (width, false);
        table.row(vec!["web".into(), Cell::toned(Tone::Good, "healthy"), "".into(), "".into()]);
        let why = "web.api.0: exit code 1, and\nthat for the third time";
        table.row(vec!["a-long-name".into(), "failing".into(), "3m ago".into(), why.into()]);
        table
    }

    #[test]
    fn columns_stand_two_spaces_apart_and_lines_end_without_spaces() {
        assert_eq!(
            table(None).render(),
            "JOB          HEALTH   DOWN SINCE  WHY\n\
             web          healthy\n\
             a-long-name  failing  3m ago      web.api.0: exit code 1, and that for the third time"
        );
    }

    #[test]
    fn on_a_terminal_only_the_last_column_is_wrapped_and_between_words() {
        assert_eq!(
            table(Some(60)).render(),
            "JOB          HEALTH   DOWN SINCE  WHY\n\
             web          healthy\n\
             a-long-name  failing  3m ago      web.api.0: exit code 1,\n\
             \x20                                 and that for the third\n\
             \x20                                 time"
        );
    }

    #[test]
    fn a_sentence_that_would_be_squeezed_stands_below_its_row() {
        assert_eq!(
            table(Some(50)).render(),
            "JOB          HEALTH   DOWN SINCE\n\
             web          healthy\n\
             a-long-name  failing  3m ago\n\
             \x20   why: web.api.0: exit code 1, and that for the\n\
             \x20   third time"
        );
    }

    #[test]
    fn columns_that_do_not_fit_at_all_stand_below_with_their_headings() {
        assert_eq!(
            table(Some(30)).render(),
            "JOB          HEALTH\n\
             web          healthy\n\
             a-long-name  failing\n\
             \x20   down since: 3m ago; why:\n\
             \x20   web.api.0: exit code 1,\n\
             \x20   and that for the third\n\
             \x20   time"
        );
    }

    #[test]
    fn a_command_in_the_last_column_is_never_broken() {
        for width in 40..120 {
            let mut table = table(Some(width));
            let why = "it failed; once the cause is gone, `minijob restart web.web.0`";
            table.row(vec!["c".into(), "failing".into(), "".into(), why.into()]);
            let shown = table.render();
            assert!(shown.contains("`minijob restart web.web.0`"), "{width}:\n{shown}");
            assert!(shown.lines().all(|line| line.len() <= usize::from(width)), "{width}:\n{shown}");
        }
    }

    #[test]
    fn no_line_is_longer_than_the_terminal() {
        for width in 20..90 {
            let shown = table(Some(width)).render();
            assert!(shown.lines().all(|line| line.len() <= usize::from(width)), "{width}:\n{shown}");
            let words = shown.split_whitespace().filter(|word| *word == "web.api.0:").count();
            assert_eq!(words, 1, "no word is broken: {width}:\n{shown}");
        }
    }
}
