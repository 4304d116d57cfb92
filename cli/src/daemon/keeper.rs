//! What must exist before any thread: the parent of all tasks.

use std::path::Path;

use proto::error::Error;

/// Makes sure that the keeper of this data directory runs. To be called while the process has one thread.
///
/// # Errors
/// What keeps it from running.
pub fn ensure(_data_dir: &Path) -> Result<(), Error> {
    Ok(())
}
