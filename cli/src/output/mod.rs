//! What people and scripts see of a command.

mod age; // "3m ago"
mod board; // live progress of `run` and `dev`
mod harmless; // a task's output among our own lines
mod line; // a sentence with its meaning
mod out; // standard output: text, bytes, documents
mod paint; // colour, or none
mod paragraph; // sentences on lines that have an end
mod size; // "12MiB"
mod table; // columns
mod voice; // standard error: errors, notices

pub use age::{ago, relative, span, until};
pub use board::Board;
pub use harmless::harmless;
pub use line::{Line, last_lines};
pub use out::Out;
pub use paint::{Paint, Tone};
pub use paragraph::behind;
pub use size::size;
pub use table::{Cell, Table};
pub use voice::Voice;

/// Returns a number with its noun: `1 job`, `2 jobs`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
