//! The sources of the workspace, read as text.

use std::path::{Path, PathBuf};

/// One source file.
pub(crate) struct Source {
    /// Below the workspace's root.
    pub(crate) path: PathBuf,
    /// The text.
    pub(crate) text: String,
}

impl Source {
    /// Returns the lines that are code and not tests: comments are cut off, and everything from the file's test module on.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("#[cfg(test)]\nmod tests").unwrap_or(self.text.len());
        let for_tests = |part: std::path::Component<'_>| {
            let part = part.as_os_str().to_string_lossy();
            matches!(part.trim_end_matches(".rs"), "tests" | "testing")
        };
        let is_test = self.path.components().any(for_tests);
        let shown = if is_test { "" } else { &self.text[..tests] };
        shown.lines().enumerate().map(|(at, line)| (at + 1, line.split("//").next().unwrap_or("")))
    }
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

/// Returns every file below a folder with that ending, in a stable order.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten().map(|entry| entry.path()) {
            if entry.is_dir() {
                if !entry.ends_with("target") {
                    folders.push(entry);
                }
            } else if entry.to_string_lossy().ends_with(ending) {
                let text = std::fs::read_to_string(&entry).expect("a source is readable text");
                let path = entry.strip_prefix(&root).expect("it lies below the root").to_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Fails with every fault, not with the first only.
pub(crate) fn must_be_empty(faults: &[String], promise: &str) {
    assert!(faults.is_empty(), "{promise}:\n  {}", faults.join("\n  "));
}
