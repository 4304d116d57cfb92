//! Durations as Go writes them: `5s`, `1m0s`, `1.5h`; a bare number counts nanoseconds.

use std::time::Duration;

const UNITS: [(&str, f64); 8] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("μs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// Reads a duration; none: it is none, is negative, or is longer than any clock counts.
pub(super) fn parse(text: &str) -> Option<Duration> {
    if let Ok(nanos) = text.parse::<u64>() {
        return Some(Duration::from_nanos(nanos));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|digits| *digits > 0)?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == &rest[..end])?;
        seconds += number * unit;
        rest = &rest[end..];
    }
    if text.is_empty() {
        return None;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_writes_is_read() {
        let millis = |text: &str| parse(text).map(|duration| duration.as_millis());
        assert_eq!(millis("5s"), Some(5000));
        assert_eq!(millis("1m0s"), Some(60_000));
        assert_eq!(millis("1.5h"), Some(5_400_000));
        assert_eq!(millis("300ms"), Some(300));
        assert_eq!(millis("2000000"), Some(2));
        for wrong in ["", "-1s", "s", "5 s", "1x", "1s2", "5.s.", "1e9h"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
