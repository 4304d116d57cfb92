//! Times as people say them. JSON has the exact ones.

use std::time::Duration;

use proto::time::Timestamp;

/// Returns how long ago something was: `3m ago`; `just now` within a second, and when another machine's clock runs ahead.
#[must_use]
pub fn ago(now: Timestamp, then: Timestamp) -> String {
    let length = now.since(then);
    if length < Duration::from_secs(1) { "just now".to_owned() } else { format!("{} ago", span(length)) }
}

/// Returns when something will be: `in 5s`; `now` when it is due.
#[must_use]
pub fn until(now: Timestamp, at: Timestamp) -> String {
    let length = at.since(now);
    if length.is_zero() { "now".to_owned() } else { format!("in {}", span(length)) }
}

/// Returns a length in its one or two largest units: `250ms`, `42s`, `3m`, `1h20m`, `2d3h`.
///
/// Minutes stand alone from ten minutes on, seconds are left out from two minutes on: a person wants the size of it.
#[must_use]
pub fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let pair = |whole: u64, unit: char, rest: u64, small: char| match rest {
        0 => format!("{whole}{unit}"),
        _ => format!("{whole}{unit}{rest}{small}"),
    };
    match seconds {
        0 => format!("{}ms", length.as_millis()),
        1..120 => format!("{seconds}s"),
        120..3600 => format!("{}m", seconds / 60),
        3600..86_400 => pair(seconds / 3600, 'h', seconds % 3600 / 60, 'm'),
        _ => pair(seconds / 86_400, 'd', seconds % 86_400 / 3600, 'h'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_shown_in_the_units_a_person_would_use() {
        let shown = |ms: u64| span(Duration::from_millis(ms));
        assert_eq!(shown(250), "250ms");
        assert_eq!(shown(1_999), "1s");
        assert_eq!(shown(119_000), "119s");
        assert_eq!(shown(150_000), "2m");
        assert_eq!(shown(3_600_000), "1h");
        assert_eq!(shown(4_800_000), "1h20m");
        assert_eq!(shown(2 * 86_400_000 + 3 * 3_600_000 + 59_000), "2d3h");
    }

    #[test]
    fn a_clock_that_runs_ahead_is_just_now_and_never_negative() {
        assert_eq!(ago(Timestamp(1_000), Timestamp(9_000)), "just now");
        assert_eq!(ago(Timestamp(9_999), Timestamp(9_000)), "just now", "`down since now` is no sentence");
        assert_eq!(ago(Timestamp(190_000), Timestamp(0)), "3m ago");
        assert_eq!(until(Timestamp(9_000), Timestamp(1_000)), "now");
        assert_eq!(until(Timestamp(1_000), Timestamp(6_000)), "in 5s");
    }
}
