//! What is compiled at run time: the measured task, the smallest supervisor, the slower disk, and the smallest program of our
//! language.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiled helpers, in a directory that everybody may read: tasks of root run as nobody.
pub(crate) struct Tools {
    dir: tempfile::TempDir,
}

impl Tools {
    /// Compiles them.
    ///
    /// # Errors
    /// What the compilers say.
    pub(crate) fn compile() -> Result<Self, String> {
        let dir = tempfile::Builder::new().prefix("minijob-bench-").tempdir().map_err(|e| e.to_string())?;
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).map_err(|error| error.to_string())?;
        let tools = Self { dir };
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/helpers");
        // Static, because half a millisecond of a dynamic program's start is its loader.
        for (program, source) in [(tools.stamp(), "stamp.c"), (tools.dir().join("loop"), "loop.c")] {
            let source = sources.join(source);
            let fixed = run(Command::new("cc").args(["-O2", "-static", "-o"]).arg(&program).arg(&source));
            if fixed.is_err() {
                run(Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(&source))?;
            }
        }
        tests::shim::build("support/slow_sync.c", tools.dir())?;
        let hello = sources.join("hello.rs");
        run(Command::new("rustc").args(["-O", "--edition", "2024", "-o"]).arg(tools.hello()).arg(hello))?;
        Ok(tools)
    }

    /// Where they are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The measured task.
    pub(crate) fn stamp(&self) -> PathBuf {
        self.dir.path().join("stamp")
    }

    /// The slower disk, to be preloaded.
    pub(crate) fn slow_sync(&self) -> PathBuf {
        self.dir.path().join("slow_sync.so")
    }

    /// The smallest program.
    pub(crate) fn hello(&self) -> PathBuf {
        self.dir.path().join("hello")
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{:?}: {}", command.get_program(), String::from_utf8_lossy(&output.stderr)))
}
