//! Durations, sizes and CPU as people write them: `5s`, `256MiB`, `500m`. A bare number is refused with a suggestion.

use std::time::Duration;

/// Why a text is not a quantity: says what it is and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUnit {
    /// A number without a unit.
    #[error("`{text}` has no unit: write for example `{suggestion}`")]
    Bare {
        /// The text as given.
        text: String,
        /// The same number with the likeliest unit.
        suggestion: String,
    },
    /// A number with a unit that is written otherwise here.
    #[error("`{text}` is not {what}: did you mean `{suggestion}`? expected {expected}")]
    Otherwise {
        /// The text as given.
        text: String,
        /// What it should be, with its article.
        what: &'static str,
        /// The same amount as it is written here.
        suggestion: String,
        /// Examples of what would be right.
        expected: &'static str,
    },
    /// Not a number with a known unit.
    #[error("`{text}` is not {what}: expected {expected}")]
    Unreadable {
        /// The text as given.
        text: String,
        /// What it should be, with its article.
        what: &'static str,
        /// Examples of what would be right.
        expected: &'static str,
    },
    /// More than the type can hold, or less than its finest step.
    #[error("`{text}` is out of range for {what}: expected {expected}")]
    Range {
        /// The text as given.
        text: String,
        /// What it should be, with its article.
        what: &'static str,
        /// The range.
        expected: &'static str,
    },
}

struct Quantity {
    what: &'static str,
    expected: &'static str,
    range: &'static str,
    /// Units with their factor to the base unit.
    units: &'static [(&'static str, u64)],
    /// Units as others write them, in lower case, and what they are here.
    others: &'static [(&'static str, &'static str)],
    /// The unit that a bare number is suggested to mean; empty where a bare number has a meaning.
    likeliest: &'static str,
    /// The largest amount, in base units.
    most: u64,
}

const DURATION: Quantity = Quantity {
    what: "a duration",
    expected: "a number and ms, s, m, h or d, such as `250ms`, `5s`, `10m`, `1h`, `7d`",
    range: "0ms to 3650d",
    units: &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)],
    others: &[
        ("msec", "ms"),
        ("millis", "ms"),
        ("sec", "s"),
        ("secs", "s"),
        ("second", "s"),
        ("seconds", "s"),
        ("min", "m"),
        ("mins", "m"),
        ("minute", "m"),
        ("minutes", "m"),
        ("hr", "h"),
        ("hrs", "h"),
        ("hour", "h"),
        ("hours", "h"),
        ("day", "d"),
        ("days", "d"),
    ],
    likeliest: "s",
    most: 3650 * 86_400_000,
};

const SIZE: Quantity = Quantity {
    what: "a size",
    expected: "a number and B, KiB, MiB, GiB, TiB (or kB, MB, GB, TB = powers of 1000), such as `64KiB`, `256MiB`, `1GiB`",
    range: "0B to 1024TiB",
    units: &[
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1000),
        ("KB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ],
    // Whoever says `64M` means what others make of it: a power of 1024.
    others: &[
        ("byte", "B"),
        ("bytes", "B"),
        ("k", "KiB"),
        ("m", "MiB"),
        ("g", "GiB"),
        ("t", "TiB"),
        ("ki", "KiB"),
        ("mi", "MiB"),
        ("gi", "GiB"),
        ("ti", "TiB"),
    ],
    likeliest: "MiB",
    most: 1024 << 40,
};

const CPU: Quantity = Quantity {
    what: "an amount of CPU",
    expected: "cores or millicores, such as `0.5`, `2` or `500m`",
    range: "1m to 4096 cores",
    units: &[("m", 1), ("", 1000)],
    others: &[("core", ""), ("cores", ""), ("cpu", ""), ("cpus", ""), ("millis", "m"), ("millicores", "m")],
    likeliest: "",
    most: 4096 * 1000,
};

/// Reads a duration, to the millisecond.
///
/// # Errors
/// [`BadUnit`] for a bare number (`5`), an unknown unit, a fraction of a millisecond, or more than ten years.
pub fn parse_duration(text: &str) -> Result<Duration, BadUnit> {
    parse(&DURATION, text).map(Duration::from_millis)
}

/// Reads a size in bytes: `KiB MiB GiB TiB` are powers of 1024, `kB MB GB TB` of 1000.
///
/// # Errors
/// [`BadUnit`] for a bare number, an unknown unit, a fraction of a byte, or more than 1024 TiB.
pub fn parse_size(text: &str) -> Result<u64, BadUnit> {
    parse(&SIZE, text)
}

/// Reads an amount of CPU in millicores: `500m`, `0.5` and `2` (cores).
///
/// # Errors
/// [`BadUnit`] for an unknown unit, less than a millicore, or more than 4096 cores.
pub fn parse_cpu(text: &str) -> Result<u32, BadUnit> {
    let millis = parse(&CPU, text)?;
    if millis == 0 {
        return Err(BadUnit::Range { text: text.to_owned(), what: CPU.what, expected: CPU.range });
    }
    Ok(millis as u32)
}

/// Writes a duration in the largest unit that divides it: `90s`, `5m`, `250ms`. [`parse_duration`] reads it back.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    show(
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)],
    )
}

/// Writes a size in the largest binary unit that divides it. [`parse_size`] reads it back.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    show(bytes, &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)])
}

/// Writes millicores: `500m`, and whole cores as `2`. [`parse_cpu`] reads it back.
#[must_use]
pub fn show_cpu(millis: u32) -> String {
    show(u64::from(millis), &[("", 1000), ("m", 1)])
}

fn show(amount: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, factor): &&(&str, u64)| amount != 0 && amount.is_multiple_of(*factor);
    let (unit, factor) = units.iter().find(fits).unwrap_or(&units[units.len() - 1]);
    format!("{}{unit}", amount / factor)
}

fn parse(quantity: &Quantity, text: &str) -> Result<u64, BadUnit> {
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = (&trimmed[..split], trimmed[split..].trim_start());
    let unreadable =
        || BadUnit::Unreadable { text: text.to_owned(), what: quantity.what, expected: quantity.expected };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty()
        || !digits(whole)
        || !digits(fraction)
        || (fraction.is_empty() && number.contains('.'))
    {
        return Err(unreadable());
    }
    if unit.is_empty() && !quantity.likeliest.is_empty() {
        let suggestion = format!("{number}{}", quantity.likeliest);
        return Err(BadUnit::Bare { text: text.to_owned(), suggestion });
    }
    let Some((_, factor)) = quantity.units.iter().find(|(name, _)| *name == unit) else {
        return Err(match otherwise(quantity, unit) {
            Some(meant) => BadUnit::Otherwise {
                text: text.to_owned(),
                what: quantity.what,
                suggestion: format!("{number}{meant}"),
                expected: quantity.expected,
            },
            None => unreadable(),
        });
    };
    let out_of_range =
        || BadUnit::Range { text: text.to_owned(), what: quantity.what, expected: quantity.range };
    scale(whole, fraction, *factor).filter(|amount| *amount <= quantity.most).ok_or_else(out_of_range)
}

/// Returns the unit that is meant by one that is written otherwise: `M`, `gb`, `min`.
fn otherwise(quantity: &Quantity, unit: &str) -> Option<&'static str> {
    let lower = unit.to_ascii_lowercase();
    let cased = quantity.units.iter().map(|(name, _)| *name).find(|name| name.to_ascii_lowercase() == lower);
    cased.or_else(|| quantity.others.iter().find(|(other, _)| *other == lower).map(|(_, name)| *name))
}

/// Returns `whole.fraction * factor` if that is a whole number that fits.
fn scale(whole: &str, fraction: &str, factor: u64) -> Option<u64> {
    let fraction = fraction.trim_end_matches('0');
    let power = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scaled = digits.checked_mul(u128::from(factor))?;
    if !scaled.is_multiple_of(power) {
        return None;
    }
    u64::try_from(scaled / power).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        let bare = parse_duration("5").expect_err("no unit");
        assert_eq!(bare.to_string(), "`5` has no unit: write for example `5s`");
    }

    #[test]
    fn cpu_is_cores_or_millicores() {
        assert_eq!(parse_cpu("0.5"), Ok(500));
        assert_eq!(parse_cpu("500m"), Ok(500));
        assert_eq!(parse_cpu("2"), Ok(2000));
        assert!(parse_cpu("0").is_err(), "nothing can run on no CPU");
        assert!(parse_cpu("0.0001").is_err(), "less than a millicore");
    }

    #[test]
    fn sizes_tell_mebibytes_from_megabytes() {
        assert_eq!(parse_size("256MiB"), Ok(256 << 20));
        assert_eq!(parse_size("256MB"), Ok(256_000_000));
        assert!(parse_size("256Mb").is_err());
        assert!(parse_size("99999999999TiB").is_err());
    }

    #[test]
    fn a_unit_that_is_written_otherwise_is_shown_as_it_is_written_here() {
        let meant = |error: BadUnit| match error {
            BadUnit::Otherwise { suggestion, .. } => suggestion,
            other => other.to_string(),
        };
        let size = |text: &str| meant(parse_size(text).expect_err("no unit of ours"));
        assert_eq!(
            ["64M", "1gb", "256Mb", "2Gi", "1.5g", "8k"].map(size),
            ["64MiB", "1GB", "256MB", "2GiB", "1.5GiB", "8KiB"]
        );
        let duration = |text: &str| meant(parse_duration(text).expect_err("no unit of ours"));
        assert_eq!(["5min", "10 sec", "2Hours", "5S"].map(duration), ["5m", "10s", "2h", "5s"]);
        assert_eq!(meant(parse_cpu("2 cores").expect_err("no unit of ours")), "2");
        let said = parse_size("64M").expect_err("no unit of ours").to_string();
        assert!(said.starts_with("`64M` is not a size: did you mean `64MiB`? expected"), "{said}");
    }

    #[test]
    fn nonsense_is_refused_and_never_panics() {
        for text in [
            "",
            ".",
            "5.",
            ".5s",
            "-1s",
            "1e3s",
            "s",
            "5 5s",
            "５s",
            "99999999999999999999d",
            "0.00000000000000000000000000000000000000001s",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(amount in 0u64..(1 << 40)) {
            let duration = Duration::from_millis(amount % DURATION.most);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
            prop_assert_eq!(parse_size(&show_size(amount)), Ok(amount));
            let millis = (amount % CPU.most) as u32 + 1;
            prop_assert_eq!(parse_cpu(&show_cpu(millis)), Ok(millis));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = (parse_duration(&text), parse_size(&text), parse_cpu(&text));
        }
    }
}
