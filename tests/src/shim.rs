//! Small libraries in C that are preloaded into the program: a slower disk, another time of day.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds one from its source below `tests/` into a directory, and returns its path there.
///
/// # Errors
/// When there is no C compiler, or it refuses the source; with what it said.
pub fn build(source: &str, into: &Path) -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let built = into.join(source.file_stem().unwrap_or_default()).with_extension("so");
    let mut command = Command::new("cc");
    command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&built).arg(&source);
    let output = command.output().map_err(|error| format!("cc: {error}"))?;
    if output.status.success() {
        Ok(built)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Says something else to a library that has mapped this file. It is written in place: a file that is shorter for a moment would kill
/// who reads it.
///
/// # Panics
/// When it cannot be written.
pub fn tell(file: &Path, bytes: &[u8]) {
    let open = std::fs::File::options().create(true).truncate(false).write(true).open(file);
    open.and_then(|file| file.write_all_at(bytes, 0)).expect("writable");
}
