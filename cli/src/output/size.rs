//! Sizes as people say them. JSON has the exact ones.

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// Returns a size in the unit that leaves one to four digits before the point: `512B`, `9.8MiB`, `123MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    let mut unit = 0;
    let mut rest = bytes as f64;
    // What would be rounded to 1024 is one of the next unit.
    while rest.round() >= 1024.0 && unit + 1 < UNITS.len() {
        rest /= 1024.0;
        unit += 1;
    }
    let is_short = unit > 0 && rest < 9.95;
    if is_short { format!("{rest:.1}{}", UNITS[unit]) } else { format!("{rest:.0}{}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_digits_or_more_and_never_too_many() {
        let shown = [0, 1023, 1024, 10_240, (1 << 20) - 1, 10_276_045, 129 << 20, 3 << 40].map(size);
        assert_eq!(shown, ["0B", "1023B", "1.0KiB", "10KiB", "1.0MiB", "9.8MiB", "129MiB", "3.0TiB"]);
        assert_eq!(size(u64::MAX), "16777216TiB");
    }
}
