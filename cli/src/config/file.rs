//! Finding and reading a configuration file.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use proto::error::{Error, Kind};
use proto::limits::JOB_FILE_BYTES;
use proto::yaml::{self, Node, Reader};

/// Reads the file that was named, else the usual one where there is one, else none: `decode` is then given no root.
///
/// # Errors
/// [`Kind::Invalid`]: a named file that is missing, one that cannot be read, and all that is wrong in it, each with its place.
pub(super) fn read<T>(
    named: Option<&Path>,
    usual: &Path,
    decode: impl FnOnce(&mut Reader<'_>, &str, Option<&Node>) -> T,
) -> Result<T, Error> {
    let path = named.unwrap_or(usual);
    let text = match text_of(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == ErrorKind::NotFound && named.is_none() => String::new(),
        Err(cause) => return Err(unreadable(path, &cause)),
    };
    let shown = path.display().to_string();
    let decoded = yaml::read(&shown, &text, |reader, root| decode(reader, &shown, root));
    decoded.map_err(|faults| {
        let count = crate::output::count(faults.0.len(), "error");
        let details = faults.0.iter().map(ToString::to_string).collect();
        Error::new(Kind::Invalid, format!("{shown}: {count}")).details(details)
    })
}

/// Returns what a file holds, at most one byte more than is allowed.
pub(super) fn text_of(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(JOB_FILE_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// Says why a file cannot be read.
pub(super) fn unreadable(path: &Path, cause: &std::io::Error) -> Error {
    let words = cause.to_string();
    let words = words.split(" (os error").next().unwrap_or(&words).to_lowercase();
    let message = format!("cannot read {}: {words}", path.display());
    let hint = match cause.kind() {
        ErrorKind::NotFound => "name a file that is there with --config, or make this one",
        ErrorKind::PermissionDenied => "run as a user who may read it",
        ErrorKind::InvalidData => "it is not text",
        _ => "",
    };
    Error::new(Kind::Invalid, message).hint(hint)
}

/// Returns the usual place of a daemon's file.
pub(super) fn usual(name: &str) -> PathBuf {
    Path::new(super::SYSTEM_DIR).join(name)
}
