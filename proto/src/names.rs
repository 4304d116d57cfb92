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

/// Returns the nearest of some words, if any is near enough to be a typing error.
pub fn nearest<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    // A longer text is no typing error of our words, and comparing costs the product of both lengths.
    const LONGEST: usize = 40;
    if text.len() > LONGEST {
        return None;
    }
    let text = text.to_ascii_lowercase().replace('-', "_");
    // Words of another length are as many steps away at least, and need not be compared.
    let length = text.chars().count();
    let words = words.filter(|word| word.len().abs_diff(length) <= (word.len().max(length) / 3).max(1));
    let distance = |word: &'w str| (strsim::damerau_levenshtein(&text, word), word);
    let (steps, word) = words.map(distance).min_by_key(|(steps, _)| *steps)?;
    (steps <= (word.len().max(text.len()) / 3).max(1) && steps < word.len()).then_some(word)
}

/// The hint for a typing error.
pub fn did_you_mean(word: &str) -> String {
    format!("did you mean `{word}`?")
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

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not_proposed() {
        let words = ["count", "command", "args"];
        assert_eq!(nearest("cuont", words.into_iter()), Some("count"));
        assert_eq!(nearest("Comand", words.into_iter()), Some("command"));
        assert_eq!(nearest("arg", words.into_iter()), Some("args"));
        assert_eq!(nearest("frobnicate", words.into_iter()), None);
        assert_eq!(nearest("", words.into_iter()), None);
    }
}
