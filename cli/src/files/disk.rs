//! What is read from disk, never more of it than is of use.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use proto::jobfile::Files;
use proto::limits::JOB_FILE_BYTES;

/// The files that job files refer to, with the rights of whoever runs the command.
pub(super) struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, most: usize) -> Result<Option<Vec<u8>>, String> {
        let unreadable = |cause: io::Error| format!("cannot read it: {}", plain(&cause));
        // A pipe or a device could keep the reader waiting, or never end.
        match fs::metadata(path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(unreadable(cause)),
            Ok(facts) if !facts.is_file() => return Err("it is no regular file".to_owned()),
            Ok(_) => {}
        }
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(Some(bytes))
    }
}

/// Reads a job file, or a file of variables; `-` is standard input.
///
/// # Errors
/// Why it cannot be read, or is none: too large, or no text.
pub(super) fn text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let limit = JOB_FILE_BYTES as u64 + 1;
    let result = if path == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    result.map_err(|cause| format!("cannot read it: {}", plain(&cause)))?;
    if bytes.len() > JOB_FILE_BYTES {
        let most = proto::units::show_size(JOB_FILE_BYTES as u64);
        return Err(format!("it is larger than a job file may be ({most})"));
    }
    String::from_utf8(bytes).map_err(|cause| {
        format!("it is not text: byte {} is not UTF-8", cause.utf8_error().valid_up_to() + 1)
    })
}

/// The system's words without its number.
pub(super) fn plain(cause: &io::Error) -> String {
    let text = cause.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_read_and_never_more_than_is_asked_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x");
        fs::write(&path, "12345").expect("written");
        assert_eq!(Disk.read(&path, 3), Ok(Some(b"1234".to_vec())));
        assert_eq!(Disk.read(&directory.path().join("none"), 3), Ok(None));
        assert_eq!(Disk.read(directory.path(), 3), Err("it is no regular file".to_owned()));
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        assert_eq!(Disk.read(&pipe, 3), Err("it is no regular file".to_owned()), "it does not wait");
    }
}
