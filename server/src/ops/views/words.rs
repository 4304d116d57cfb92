//! Amounts in words, for people.

use std::time::Duration;

/// Characters of a cause in a list: it has to fit in a line or two of a terminal.
const LINE_CHARS: usize = 240;

/// Says how long something took, to two figures or so: `250ms`, `2.3s`, `1m 5s`, `2h 5m`, `3d 4h`.
#[must_use]
pub fn rough(duration: Duration) -> String {
    let (millis, seconds) = (duration.as_millis(), duration.as_secs());
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{seconds}.{}s", duration.subsec_millis() / 100),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_to_two_figures() {
        let shown: Vec<String> = [0, 250, 2345, 59_999, 65_000, 7_500_000, 273_600_000]
            .map(Duration::from_millis)
            .map(rough)
            .into();
        assert_eq!(shown, ["0ms", "250ms", "2.3s", "59.9s", "1m 5s", "2h 5m", "3d 4h"]);
    }

    #[test]
    fn a_cause_stays_in_its_line() {
        assert_eq!(one_line("no such file\n\tor directory\u{1b}[2J "), "no such file  or directory [2J");
        assert_eq!(one_line(&"x".repeat(1000)).chars().count(), LINE_CHARS + 1);
    }
}
