//! Amounts in words, for people.

use std::time::Duration;

use crate::core::state::Edge;

/// Characters of a cause in a list: it has to fit in a line or two of a terminal.
const LINE_CHARS: usize = 240;

/// Says how long something took, rounded to two figures or so: `25ms`, `0.3s`, `2.3s`, `42s`, `1m 5s`, `2h 5m`, `3d 4h`.
#[must_use]
pub fn rough(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (tenths, seconds) = ((millis + 50) / 100, (millis + 500) / 1000);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        _ if millis < 100 => format!("{millis}ms"),
        _ if tenths < 100 && tenths % 10 > 0 => format!("{}.{}s", tenths / 10, tenths % 10),
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {}s", seconds % 60),
        3600..86_400 => format!("{hours}h {}m", minutes % 60),
        _ => format!("{}d {}h", hours / 24, hours % 24),
    }
}

/// Makes one line of a text: control characters become spaces, and what is too long is cut with an ellipsis.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut chars = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = chars.by_ref().take(LINE_CHARS).collect();
    if chars.next().is_some() {
        line.push('…');
    }
    line
}

/// Says in what a node is behind the one that was chosen.
#[must_use]
pub const fn behind(edge: Edge) -> &'static str {
    match edge {
        Edge::Liking => "the job likes it less",
        Edge::Spread => "its share of the spread is used up more",
        Edge::Domain => "more of the group are in its failure domain",
        Edge::Copies => "more of the group are on it",
        Edge::Fit => "it would be filled less well",
        Edge::Id => "as good, with a higher id",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_to_two_figures() {
        let shown: Vec<String> = [0, 25, 250, 1_960, 2345, 3_990, 41_600, 65_000, 7_500_000, 273_600_000]
            .map(Duration::from_millis)
            .map(rough)
            .into();
        assert_eq!(shown, ["0ms", "25ms", "0.3s", "2s", "2.3s", "4s", "42s", "1m 5s", "2h 5m", "3d 4h"]);
    }

    #[test]
    fn a_cause_stays_in_its_line() {
        assert_eq!(one_line("no such file\n\tor directory\u{1b}[2J "), "no such file  or directory [2J");
        assert_eq!(one_line(&"x".repeat(1000)).chars().count(), LINE_CHARS + 1);
    }
}
