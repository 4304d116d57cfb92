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

/// Returns a server's sentence with its exact times as people say them: `at 2026-11-21T09:30:00.000Z` becomes `in 5s`. What is
/// over by more than a moment is `(due 3m ago)`: it should have happened, and nobody has heard that it did.
///
/// `now` is the moment at which the sentence is true: of a fact of the past its own.
#[must_use]
pub fn relative(text: &str, now: Timestamp) -> String {
    let mut parts = text.split(" at ");
    let mut said = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match exact_time(part) {
            Some((at, rest)) if now.since(at) > MOMENT => said += &format!(" (due {}){rest}", ago(now, at)),
            Some((at, rest)) => said += &format!(" {}{rest}", until(now, at)),
            None => said += &format!(" at {part}"),
        }
    }
    said
}

/// A deadline that passed this long ago may just be being kept.
const MOMENT: Duration = Duration::from_secs(2);

/// Returns the time that a text begins with, in the very form in which servers write it, and what follows.
fn exact_time(text: &str) -> Option<(Timestamp, &str)> {
    let (time, rest) = text.split_at_checked("2026-11-21T09:30:00.000Z".len())?;
    let at: Timestamp = time.parse().ok()?;
    (at.to_string() == time).then_some((at, rest))
}

/// Returns a length in its one or two largest units, rounded: `25ms`, `0.3s`, `1.8s`, `42s`, `3m`, `1h20m`, `2d3h`.
///
/// Below ten seconds a tenth matters; minutes stand alone up to an hour, and seconds up to two minutes: a person wants the size of it.
#[must_use]
pub fn span(length: Duration) -> String {
    let millis = length.as_millis();
    let in_units = |of: u128| (millis + of / 2) / of;
    let (tenths, seconds, minutes, hours) =
        (in_units(100), in_units(1000), in_units(60_000), in_units(3_600_000));
    let pair = |whole: u128, unit: char, rest: u128, small: char| match rest {
        0 => format!("{whole}{unit}"),
        _ => format!("{whole}{unit}{rest}{small}"),
    };
    match seconds {
        _ if millis < 100 => format!("{millis}ms"),
        _ if tenths < 100 && tenths % 10 > 0 => format!("{}.{}s", tenths / 10, tenths % 10),
        0..120 => format!("{seconds}s"),
        _ if minutes < 60 => format!("{minutes}m"),
        _ if minutes < 24 * 60 => pair(minutes / 60, 'h', minutes % 60, 'm'),
        _ => pair(hours / 24, 'd', hours % 24, 'h'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_rounded_and_shown_in_the_units_a_person_would_use() {
        let shown = |ms: u64| span(Duration::from_millis(ms));
        assert_eq!(shown(25), "25ms");
        assert_eq!(shown(250), "0.3s");
        assert_eq!(shown(945), "0.9s");
        assert_eq!(shown(1_840), "1.8s");
        assert_eq!(shown(1_999), "2s");
        assert_eq!(shown(9_960), "10s");
        assert_eq!(shown(41_600), "42s");
        assert_eq!(shown(119_000), "119s");
        assert_eq!(shown(149_000), "2m");
        assert_eq!(shown(170_000), "3m");
        assert_eq!(shown(3_590_000), "1h");
        assert_eq!(shown(3_600_000), "1h");
        assert_eq!(shown(4_800_000), "1h20m");
        assert_eq!(shown(2 * 86_400_000 + 3 * 3_600_000 + 59_000), "2d3h");
    }

    #[test]
    fn times_in_a_sentence_are_told_from_its_moment() {
        let at = Timestamp(1_700_000_005_000);
        let said = |ms: u64| relative(&format!("exit code 7; try 2 of 4 at {at}; more"), Timestamp(ms));
        assert_eq!(said(1_700_000_000_000), "exit code 7; try 2 of 4 in 5s; more");
        assert_eq!(said(1_700_000_006_000), "exit code 7; try 2 of 4 now; more");
        assert_eq!(said(1_700_000_245_000), "exit code 7; try 2 of 4 (due 4m ago); more");
        let foreign = "listens at 10.0.0.1 at 2023-11-14T22:13:20Z at é";
        assert_eq!(relative(foreign, at), foreign, "what a server did not write stays");
    }

    #[test]
    fn a_clock_that_runs_ahead_is_just_now_and_never_negative() {
        assert_eq!(ago(Timestamp(1_000), Timestamp(9_000)), "just now");
        assert_eq!(ago(Timestamp(9_999), Timestamp(9_000)), "just now", "a moment is no length");
        assert_eq!(ago(Timestamp(190_000), Timestamp(0)), "3m ago");
        assert_eq!(until(Timestamp(9_000), Timestamp(1_000)), "now");
        assert_eq!(until(Timestamp(1_000), Timestamp(6_000)), "in 5s");
    }
}
