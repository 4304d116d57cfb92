//! What tasks write down for a test: a folder that everybody may write to, because tasks of root run as nobody.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A folder of notes; it goes with the directory it is in.
#[derive(Debug)]
pub struct Notes(PathBuf);

impl Notes {
    /// Makes the folder `notes` in a directory.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let path = dir.join("notes");
        std::fs::create_dir(&path).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("ours");
        Self(path)
    }

    /// Returns the path of a note, to be used in a script.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Writes a note, for tasks to see that it is there.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str) {
        std::fs::write(self.0.join(name), "").expect("writable");
    }

    /// Returns the lines of a note that are numbers; none while there is no such note.
    #[must_use]
    pub fn numbers(&self, name: &str) -> Vec<u64> {
        let text = std::fs::read_to_string(self.0.join(name)).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}
