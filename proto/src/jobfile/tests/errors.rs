//! What people read about their mistakes: `errors.txt` holds files and, after `>>>`, exactly what is said about each.

use super::super::parse;

const CASES: &str = include_str!("errors.txt");

/// Returns what is said about a file, or that nothing is.
fn said(text: &str) -> String {
    parse("job.yml", text).err().map_or_else(|| "(no error)".to_owned(), |faults| faults.to_string())
}

#[test]
fn every_mistake_is_named_with_its_place_and_a_way_out() {
    let cases: Vec<&str> = CASES.split("### ").skip(1).collect();
    assert!(cases.len() >= 30, "only {} cases", cases.len());
    for case in cases {
        let (title, rest) = case.split_once('\n').expect("a title");
        let (text, expected) = rest.split_once(">>>\n").expect("what is expected");
        assert_eq!(said(text), expected.trim_end(), "\n{title}\n");
    }
}
