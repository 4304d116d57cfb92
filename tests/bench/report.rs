//! Tables: the median of per-round figures with the least and the most, the gap to the limit probe, CPU per operation.

use std::fmt::Write as _;
use std::path::Path;

/// One figure in one unit, a value per round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    what: String,
    unit: &'static str,
    ours: Vec<f64>,
    limit: Vec<f64>,
    cpu_ms: Vec<f64>,
    more_is_better: bool,
}

impl Row {
    /// Begins a row.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str) -> Self {
        Self { what: what.into(), unit, ..Self::default() }
    }

    /// A row in which more is better: its gap is turned round, so that 1 is always the limit.
    pub(crate) fn rate(what: impl Into<String>, unit: &'static str) -> Self {
        Self { more_is_better: true, ..Self::new(what, unit) }
    }

    /// Adds the figure of one round.
    pub(crate) fn add(&mut self, value: f64) {
        self.ours.push(value);
    }

    /// Adds the figure of one round with its limit.
    pub(crate) fn add_with(&mut self, value: f64, limit: f64) {
        self.ours.push(value);
        self.limit.push(limit);
    }

    /// Adds the CPU time of one operation in one round, in milliseconds.
    pub(crate) fn cpu(&mut self, ms: f64) {
        self.cpu_ms.push(ms);
    }

    fn line(&self) -> String {
        let gaps: Vec<f64> =
            self.ours.iter().zip(&self.limit).map(|(ours, limit)| self.gap(*ours, *limit)).collect();
        let gap = if gaps.is_empty() { String::new() } else { format!("{} x", spread(&gaps)) };
        let cpu = if self.cpu_ms.is_empty() { String::new() } else { format!("{} ms", spread(&self.cpu_ms)) };
        let limit = if self.limit.is_empty() {
            String::new()
        } else {
            format!("{} {}", spread(&self.limit), self.unit)
        };
        format!("| {} | {} {} | {limit} | {gap} | {cpu} |", self.what, spread(&self.ours), self.unit)
    }

    fn gap(&self, ours: f64, limit: f64) -> f64 {
        if self.more_is_better { limit / ours } else { ours / limit }
    }
}

/// The result of one benchmark.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Table {
    /// Adds a row; one without figures is left out.
    pub(crate) fn push(&mut self, row: Row) {
        if !row.ours.is_empty() {
            self.rows.push(row);
        }
    }

    /// Returns whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a line below the table.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Writes it in Markdown, below a line that says when and where.
    pub(crate) fn markdown(&self, head: &str) -> String {
        let mut text = format!(
            "{head}\n\n| figure | median (least - most) | limit probe | gap | CPU per operation |\n|---|---|---|---|---|\n"
        );
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.line());
        }
        for note in &self.notes {
            let _ = write!(text, "\n- {note}");
        }
        text.push('\n');
        text
    }
}

/// Returns the middle one; of an even number the mean of the middle two. 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// Returns the value that `percent` of all do not exceed; 0 of none.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or(0.0)
}

fn spread(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.len() == 1 {
        return shown(values[0]);
    }
    format!("{} ({} - {})", shown(median(values)), shown(least), shown(most))
}

/// Three digits that mean something.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 => format!("{value:.2}"),
        size if size >= 0.09995 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

/// Replaces what stands between a benchmark's markers in a document.
///
/// # Errors
/// When the document cannot be read or written, or has no such markers.
pub(crate) fn write_into(document: &Path, name: &str, table: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(document).map_err(|e| format!("{}: {e}", document.display()))?;
    let text = replaced(&text, name, table)
        .ok_or_else(|| format!("{} has no markers `bench:{name}`", document.display()))?;
    std::fs::write(document, text).map_err(|error| format!("{}: {error}", document.display()))
}

fn replaced(text: &str, name: &str, table: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- bench:{name} -->\n"), format!("<!-- /bench:{name} -->"));
    let from = text.find(&begin)? + begin.len();
    let to = from + text[from..].find(&end)?;
    Some(format!("{}{table}{}", &text[..from], &text[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_taken_round_by_round() {
        let mut row = Row::new("start", "ms");
        row.add_with(2.0, 1.0);
        row.add_with(9.0, 3.0);
        row.add_with(8.0, 2.0);
        assert_eq!(
            row.line(),
            "| start | 8.00 (2.00 - 9.00) ms | 2.00 (1.00 - 3.00) ms | 3.00 (2.00 - 4.00) x |  |"
        );
        let mut rate = Row::rate("starts", "/s");
        rate.add_with(50.0, 200.0);
        assert!(rate.line().contains("4.00 x"), "{}", rate.line());
    }

    #[test]
    fn medians_and_percentiles_are_values_that_were_seen() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[1.0, 2.0]), median(&[])), (2.0, 1.5, 0.0));
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&hundred, 50), percentile(&hundred, 99)), (50.0, 99.0));
        assert_eq!((percentile(&[7.0], 99), percentile(&[], 99)), (7.0, 0.0));
    }

    #[test]
    fn a_table_replaces_the_one_before_and_nothing_else() {
        let text = "a\n<!-- bench:p1 -->\nold\n<!-- /bench:p1 -->\nb\n";
        let new = replaced(text, "p1", "new\n").unwrap_or_default();
        assert_eq!(new, "a\n<!-- bench:p1 -->\nnew\n<!-- /bench:p1 -->\nb\n");
        assert_eq!(replaced(text, "p2", "new\n"), None);
    }
}
