//! Sentences on lines of a limited width, broken between words. A command in backticks stays on one line: it is there to be typed.

use std::borrow::Cow;

use comfy_table::ContentArrangement;

/// What keeps the words of a command together while lines are broken.
const GLUE: char = '\u{a0}';

/// The least that a sentence is given of a line: in less it is a column of single words.
pub const SENTENCE: u16 = 20;

/// Wraps a text into lines of `width` columns, each after `indent` spaces.
#[must_use]
pub fn paragraph(text: &str, width: u16, indent: u16) -> String {
    let room = width.saturating_sub(indent).max(1);
    let mut grid = comfy_table::Table::new();
    grid.load_style(comfy_table::presets::NOTHING);
    grid.set_content_arrangement(ContentArrangement::Dynamic).set_width(room.saturating_add(indent));
    grid.add_row([glued(text, room)]);
    if let Some(column) = grid.column_mut(0) {
        column.set_padding((indent, 0));
    }
    loosened(&grid.trim_fmt())
}

/// Wraps a text behind a prefix, the further lines below its beginning; where the prefix leaves too little of the line, all of them a
/// little indented below it. Without a width all is one line.
#[must_use]
pub fn behind(prefix: &str, text: &str, width: Option<u16>) -> String {
    let indent = u16::try_from(prefix.chars().count()).unwrap_or(u16::MAX);
    match width {
        Some(width) if width.saturating_sub(indent) >= SENTENCE * 2 => {
            format!("{prefix}{}", paragraph(text, width, indent).trim_start())
        }
        Some(width) if usize::from(indent) + text.chars().count() > usize::from(width) => {
            format!("{}\n{}", prefix.trim_end(), paragraph(text, width, 4))
        }
        _ => format!("{prefix}{text}"),
    }
}

/// Returns the text with its commands glued, those aside that are longer than a line.
#[must_use]
pub fn glued(text: &str, room: u16) -> Cow<'_, str> {
    if !text.contains('`') {
        return Cow::Borrowed(text);
    }
    let mut parts: Vec<Cow<'_, str>> = text.split('`').map(Cow::Borrowed).collect();
    let last = parts.len() - 1;
    // Every second part is within backticks; one without an end is none.
    for part in parts.iter_mut().take(last).skip(1).step_by(2) {
        if part.chars().count() + 2 < usize::from(room) {
            *part = Cow::Owned(part.replace(' ', &GLUE.to_string()));
        }
    }
    Cow::Owned(parts.join("`"))
}

/// Returns the text as it was before its commands were glued.
#[must_use]
pub fn loosened(text: &str) -> String {
    text.replace(GLUE, " ")
}

/// Returns the columns of the longest command in a text, its backticks included.
#[must_use]
pub fn longest_command(text: &str) -> u16 {
    let all = text.split('`').count();
    let commands = text.split('`').take(all - 1).skip(1).step_by(2);
    commands.map(|command| u16::try_from(command.chars().count() + 3).unwrap_or(u16::MAX)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHY: &str = "it failed; once the cause is gone, `minijob restart web.web.0` tries again";

    #[test]
    fn a_command_stays_on_one_line() {
        assert_eq!(
            paragraph(WHY, 40, 4),
            "    it failed; once the cause is gone,\n    `minijob restart web.web.0` tries\n    again"
        );
        for width in 31..90 {
            let shown = paragraph(WHY, width, 0);
            assert!(shown.contains("`minijob restart web.web.0`"), "{width}:\n{shown}");
            assert!(shown.lines().all(|line| line.len() <= usize::from(width)), "{width}:\n{shown}");
        }
    }

    #[test]
    fn a_command_longer_than_a_line_is_broken_between_words_and_a_lone_backtick_is_none() {
        let shown = paragraph("type `minijob restart a-very-long-name`", 24, 0);
        assert_eq!(shown, "type `minijob restart\na-very-long-name`");
        assert_eq!(glued("a `b c", 80), "a `b c");
        assert_eq!(longest_command(WHY), 28, "with room for the comma behind it");
    }

    #[test]
    fn a_text_stands_behind_its_prefix_or_below_it_where_that_leaves_no_room() {
        let text = "one two three four five six seven eight nine ten";
        assert_eq!(behind("12:00  web  ", text, None), format!("12:00  web  {text}"));
        assert_eq!(
            behind("12:00  ", text, Some(50)),
            "12:00  one two three four five six seven eight\n       nine ten"
        );
        assert_eq!(
            behind("12:00  a-long-name    ", text, Some(50)),
            "12:00  a-long-name\n    one two three four five six seven eight nine\n    ten"
        );
    }
}
