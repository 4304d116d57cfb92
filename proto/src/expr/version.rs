//! `version("5.10.0-8")`: a text that sorts as its numbers do.

use std::sync::Arc;

/// Numbers that are compared: `1.2.3.4`, and what distributions add.
const PARTS: usize = 6;

/// Returns the numbers that a text begins with, after a `v`, in a form of one length that sorts as they do. `5.10` is `5.10.0`, and what
/// follows the numbers says nothing: `6.1.0-13-amd64` is `6.1.0`.
#[allow(clippy::needless_pass_by_value, reason = "functions of expressions are given their arguments so")]
pub(super) fn sortable(text: Arc<String>) -> Result<cel::Value, cel::ExecutionError> {
    let text = text.trim();
    let digits = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    let numbers: Vec<u64> =
        digits[..end].split('.').map_while(|part| part.parse().ok()).take(PARTS).collect();
    if numbers.is_empty() {
        return Err(cel::ExecutionError::function_error(
            "version",
            format!("{text:?} begins with no number"),
        ));
    }
    let part = |index: usize| format!("{:020}", numbers.get(index).copied().unwrap_or(0));
    Ok(cel::Value::from((0..PARTS).map(part).collect::<Vec<_>>().join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_as_their_numbers_do() {
        let of = |text: &str| match sortable(Arc::new(text.to_owned())) {
            Ok(cel::Value::String(text)) => Some(text),
            _ => None,
        };
        assert!(of("5.9") < of("5.10") && of("5.10") == of("5.10.0") && of("v2") > of("1.99"));
        assert_eq!(of("6.1.0-13-amd64"), of("6.1.0"));
        assert_eq!(of("unknown"), None);
        assert_eq!(of(""), None);
    }
}
