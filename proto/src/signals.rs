//! Names of signals, as Linux numbers them.

/// The names without `SIG`, from 1 on.
pub const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Returns the number of a signal: of a name with or without `SIG`, in any case, or of a number from 1 to 64 itself.
#[must_use]
pub fn number(text: &str) -> Option<i32> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return text.parse().ok().filter(|number| (1..=64).contains(number));
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    NAMES.iter().position(|name| *name == bare).map(|index| index as i32 + 1)
}

/// Writes a signal by its name, or by its number where it has none.
#[must_use]
pub fn show(number: i32) -> String {
    let name = usize::try_from(number - 1).ok().and_then(|index| NAMES.get(index));
    name.map_or_else(|| number.to_string(), |name| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_a_name_in_any_form_or_a_number() {
        for text in ["SIGHUP", "HUP", "hup", "sighup", "1"] {
            assert_eq!(number(text), Some(1), "{text}");
        }
        assert_eq!(
            (number("64"), number("0"), number("65"), number("SIGNOPE"), number("")),
            (Some(64), None, None, None, None)
        );
        assert_eq!((show(15), show(34), show(0)), ("SIGTERM".into(), "34".into(), "0".into()));
    }
}
