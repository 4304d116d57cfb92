//! Kills a process around one of its syncs: see `kill_after_sync.c`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// On which side of the sync the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// What was written is not known to be durable.
    Before,
    /// It is durable, and nobody was told.
    After,
}

/// The library to preload.
pub struct Killer {
    library: PathBuf,
}

impl Killer {
    /// Compiles the library into `dir`.
    ///
    /// # Panics
    /// When there is no C compiler, or it does not like the source.
    pub fn compile(dir: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/kill_after_sync/kill_after_sync.c");
        let library = dir.join("kill_after_sync.so");
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()
            .expect("a C compiler, `cc`, is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { library }
    }

    /// Returns the variables that make a process die around its `number`th sync, counted from when the file `armed` exists, or from
    /// its start.
    pub fn env(&self, when: When, number: u32, armed: Option<&Path>) -> Vec<(&'static str, String)> {
        let when = if when == When::Before { "before" } else { "after" };
        let mut env = vec![
            ("LD_PRELOAD", self.library.to_string_lossy().into_owned()),
            ("KILL_SYNC_AT", number.to_string()),
            ("KILL_SYNC_WHEN", when.to_owned()),
        ];
        env.extend(armed.map(|path| ("KILL_SYNC_ARMED", path.to_string_lossy().into_owned())));
        env
    }
}
