//! What may be a name, of whatever has one.

use crate::limits;

/// The rule in words.
pub const RULE: &str = "lower-case letters, digits and `-`, at most 63, a letter or digit at both ends";

/// The rule for machines in words.
pub const MACHINE_RULE: &str = "letters, digits, `-` and `.`, at most 63, a letter or digit at both ends";

/// Returns whether a text can name a job, a namespace, a group, a task or a port: `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, at most 63
/// characters, which is a DNS label.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    is_made_of(text, ends, |c| ends(c) || c == '-')
}

/// Returns whether a text can name a server or a node: as [`is_name`], and with the dots and capitals that host names have.
#[must_use]
pub fn is_machine_name(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    is_made_of(text, ends, |c| ends(c) || c == '-' || c == '.')
}

/// Returns the name that somebody probably meant, or nothing.
#[must_use]
pub fn proposed_name(text: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = text.chars().take(limits::NAME_CHARS).map(fits).collect();
    name.trim_matches('-').to_owned()
}

/// Returns a rule with an example made of the text that broke it, where there is one.
#[must_use]
pub fn advice(rule: &str, text: &str) -> String {
    let proposal = proposed_name(text);
    if proposal.is_empty() { rule.to_owned() } else { format!("{rule}: for example `{proposal}`") }
}

fn is_made_of(text: &str, ends: impl Fn(char) -> bool, within: impl Fn(char) -> bool) -> bool {
    (1..=limits::NAME_CHARS).contains(&text.len())
        && text.chars().all(within)
        && text.starts_with(&ends)
        && text.ends_with(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "0", "a-b", "a--b", &"a".repeat(63)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-", "a-", "-a", "A", "a_b", "a.b", "é", &"a".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn machines_may_be_named_as_hosts_are() {
        for good in ["vm7", "VM-7", "vm7.example.com", &"a".repeat(63)] {
            assert!(is_machine_name(good), "{good}");
        }
        for bad in ["", "a b", ".a", "a.", "a/b", "a_b", "é", &"a".repeat(64)] {
            assert!(!is_machine_name(bad), "{bad}");
        }
    }

    #[test]
    fn advice_is_the_rule_and_what_was_probably_meant() {
        assert_eq!(advice(RULE, "My_Web App!"), format!("{RULE}: for example `my-web-app`"));
        assert_eq!(advice(RULE, "!"), RULE);
    }
}
