//! The reader of job files for the other files: the same places, the same words, the same bounds. Knows no key.

use super::fault::Faults;
use super::given::Given;
use super::source::Source;
use super::tree;
use crate::limits;

pub use super::reader::{Reader, did_you_mean, nearest, quote, shown};
pub use super::source::Mark;
pub use super::table::pairs;
pub use super::tree::{Node, Value};

/// Reads a file of one document. `decode` is given its root, or nothing where the file is empty, and notes what it does not
/// like; a fault does not end it, so that all are found. `file` is the name shown in errors.
///
/// # Errors
/// [`Faults`]: what the syntax or `decode` found, at most [`limits::ERRORS_PER_FILE`]; more than [`limits::JOB_FILE_BYTES`].
pub fn read<T>(
    file: &str,
    text: &str,
    decode: impl FnOnce(&mut Reader<'_>, Option<&Node>) -> T,
) -> Result<T, Faults> {
    if text.len() > limits::JOB_FILE_BYTES {
        let source = Source::new(file, "");
        let message = format!("the file has {} bytes, at most {}", text.len(), limits::JOB_FILE_BYTES);
        return Err(Faults(vec![source.fault(Mark::START, message, String::new())]));
    }
    let source = Source::new(file, text);
    let documents = tree::read(&source);
    let given = Given::default();
    let mut reader = Reader::new(&source, &given);
    for flaw in documents.flaws {
        reader.fault(flaw.at, flaw.message, flaw.hint);
    }
    if let Some(flaw) = documents.broken {
        reader.fault(flaw.at, flaw.message, flaw.hint);
        reader.broken_from(documents.sure_before);
    }
    if let Some(second) = documents.roots.get(1) {
        reader.fault(second.at, "a second document (`---`)", "this file holds one");
    }
    let root = documents.roots.first().filter(|root| !matches!(root.value, Value::Null));
    let decoded = decode(&mut reader, root.map(|root| &**root));
    reader.finish().map_or(Ok(decoded), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<Vec<String>, Faults> {
        read("x.yml", text, |reader, root| {
            let pairs = root.map_or_else(Vec::new, |root| pairs(reader, root, "the file", ""));
            pairs.iter().map(|(key, _)| shown(key)).collect()
        })
    }

    #[test]
    fn one_document_is_decoded_and_an_empty_one_has_no_root() {
        assert_eq!(keys("a: 1\nb: 2\n").expect("valid"), ["`a`", "`b`"]);
        assert!(keys("").expect("valid").is_empty());
        assert!(keys("# nothing\n---\n").expect("valid").is_empty());
    }

    #[test]
    fn what_is_wrong_with_the_syntax_is_told_with_what_the_decoder_found() {
        let faults = keys("a: 1\na: 2\nb: [1\n").expect_err("two faults");
        let lines: Vec<u32> = faults.0.iter().map(|fault| fault.line).collect();
        assert_eq!(lines.first(), Some(&2), "{faults}");
        assert!(faults.0.len() >= 2, "{faults}");
        assert!(keys("a: 1\n---\nb: 1\n").is_err(), "a second document");
        assert!(keys(&" ".repeat(limits::JOB_FILE_BYTES + 1)).is_err());
    }
}
