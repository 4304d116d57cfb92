//! What a job file is read with that does not stand in it.

use std::collections::BTreeMap;
use std::path::Path;

use super::fault::Fault;

/// What the caller knows beside the text. By default nothing: then relative paths, files and variables without a default are
/// faults.
#[derive(Clone, Copy)]
pub struct Given<'g> {
    /// The absolute directory of the file, which relative paths in it are relative to.
    pub base: Option<&'g Path>,
    /// Values of `variables` by name. Those that the file does not declare are of no concern to it.
    pub variables: &'g BTreeMap<String, String>,
    /// Reads the files that the job file refers to (`from`, `env_files`).
    pub files: Option<&'g dyn Files>,
}

impl Default for Given<'_> {
    fn default() -> Self {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        Self { base: None, variables: &NONE, files: None }
    }
}

/// Reads files for the job files that refer to them. Servers have none: what a job file may read is what its author may.
pub trait Files {
    /// Returns the content of a file, or nothing if there is none. Of one that is larger than `most` bytes it is enough to
    /// return the first `most + 1`.
    ///
    /// # Errors
    /// Why it cannot be read, as in "cannot read it: ...".
    fn read(&self, path: &Path, most: usize) -> Result<Option<Vec<u8>>, String>;
}

/// A line of a file of variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The variable's name.
    pub name: String,
    /// What it stands for.
    pub value: String,
    /// What is to be said, with its place, if no job declares it.
    pub unknown: Fault,
}
