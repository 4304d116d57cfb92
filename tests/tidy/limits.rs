//! Every bound stands in a `limits.rs`, with its reason.

use crate::source::{files, must_be_empty};

#[test]
fn every_limit_has_a_reason() {
    let mut faults = Vec::new();
    for house in ["proto", "pki", "server", "client", "cli"] {
        for file in files(&format!("{house}/src"), "limits.rs") {
            let lines: Vec<&str> = file.text.lines().collect();
            for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("pub const")) {
                let documented = at > 0 && lines[at - 1].starts_with("///");
                if !documented {
                    faults.push(format!("{}:{}: {line}", file.path.display(), at + 1));
                }
            }
        }
    }
    must_be_empty(&faults, "limits have reasons");
}

/// Channels without a bound grow until the machine is out of memory.
#[test]
fn no_queue_is_unbounded() {
    let mut faults = Vec::new();
    for house in ["proto", "pki", "server", "client", "cli"] {
        for file in files(&format!("{house}/src"), ".rs") {
            for (line, code) in file.code().filter(|(_, code)| code.contains("unbounded")) {
                faults.push(format!("{}:{line}: {}", file.path.display(), code.trim()));
            }
        }
    }
    must_be_empty(&faults, "queues are bounded");
}

/// A file that has outgrown its noun. The mark is generous: tests beside the code count too.
#[test]
fn files_stay_small() {
    let mut faults = Vec::new();
    for house in ["proto", "pki", "server", "client", "cli"] {
        for file in files(&format!("{house}/src"), ".rs") {
            let lines = file.code().count();
            if lines > 500 {
                faults.push(format!("{}: {lines} lines of code", file.path.display()));
            }
        }
    }
    must_be_empty(&faults, "one noun or one decision a file");
}
