//! `core/` decides and does nothing else: no clock, no I/O, no task, no randomness, no unordered iteration.

use crate::source::{files, must_be_empty};

/// Words that cannot stand in `core/`, with what to do instead.
const IMPURE: &[(&str, &str)] = &[
    ("tokio", "a decision waits for nothing"),
    ("async ", "a decision waits for nothing"),
    (".await", "a decision waits for nothing"),
    ("std::fs", "plumbing reads and writes"),
    ("std::net", "plumbing talks"),
    ("std::thread", "a decision has no task"),
    ("Instant", "`now` is an argument"),
    ("SystemTime", "`now` is an argument"),
    ("time::now(", "`now` is an argument"),
    ("time::boottime(", "`now` is an argument"),
    ("random_", "seeds are arguments"),
    ("getrandom", "seeds are arguments"),
    ("HashMap", "its order differs from run to run: use an ordered map"),
    ("HashSet", "its order differs from run to run: use an ordered set"),
    ("tracing::", "a decision returns its reasons"),
    ("println!", "a decision returns its reasons"),
    ("Mutex", "state has one owner"),
];

#[test]
fn core_is_pure() {
    let mut faults = Vec::new();
    for house in ["server/src/core", "client/src/core"] {
        let sources = files(house, ".rs");
        assert!(!sources.is_empty(), "{house} is there");
        for file in sources {
            for (line, code) in file.code() {
                for (word, reason) in IMPURE.iter().filter(|(word, _)| code.contains(word)) {
                    faults.push(format!("{}:{line}: `{word}`: {reason}", file.path.display()));
                }
            }
        }
    }
    must_be_empty(&faults, "core is pure");
}
