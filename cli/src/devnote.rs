//! The note that a running `minijob dev` leaves, so that a second terminal finds it without any setup.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::limits;

/// Where a `minijob dev` is, and what lets one in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its address.
    pub addr: String,
    /// Its token.
    pub token: String,
    /// Its process.
    pub pid: u32,
    /// When that process started, in the kernel's ticks since boot: a number is used again, a number at a time is not.
    pub started: u64,
}

/// Reads the note of a `minijob dev` of this user that still runs. One that has gone, or that another user could have
/// written, counts as none.
#[must_use]
pub fn read() -> Option<Note> {
    read_at(&place()?)
}

/// Leaves a note for this process; of several the newest counts.
///
/// # Errors
/// What the file system says; `dev` goes on without a note then.
pub fn write(addr: &str, token: &str) -> io::Result<Left> {
    let path = place().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let pid = std::process::id();
    let note =
        Note { addr: addr.to_owned(), token: token.to_owned(), pid, started: started(pid).unwrap_or(0) };
    write_at(&path, &note)?;
    Ok(Left { path, note })
}

/// Returns what must be removed should this process be killed: its note, if by then it is still the one there.
#[must_use]
pub fn removal() -> Option<client::keeper::Removal> {
    let pid = std::process::id();
    Some(client::keeper::Removal { path: place()?, if_it_holds: Some(format!("\"pid\":{pid},")) })
}

/// A note that was left; dropping it takes it away, unless a newer one has replaced it.
#[derive(Debug)]
pub struct Left {
    path: PathBuf,
    note: Note,
}

impl Drop for Left {
    fn drop(&mut self) {
        if read_at(&self.path).as_ref() == Some(&self.note) {
            let _ = fs::remove_file(&self.path);
            // The directory that was made for it, if it was; one that is in use stays.
            if let Some(own) = self.path.parent().filter(|parent| Some(*parent) == own_directory().as_deref())
            {
                let _ = fs::remove_dir(own);
            }
        }
    }
}

/// `$XDG_RUNTIME_DIR`, which belongs to the user alone, else a directory of the user's own below /tmp.
fn place() -> Option<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let directory = runtime.filter(|dir| dir.is_dir()).or_else(own_directory)?;
    Some(directory.join("minijob-dev.json"))
}

/// Where the note is when the system has no directory of the user's own.
fn own_directory() -> Option<PathBuf> {
    let uid = nix::unistd::getuid();
    Some(std::env::temp_dir().join(format!("minijob-dev-{uid}")))
}

fn read_at(path: &Path) -> Option<Note> {
    let uid = nix::unistd::getuid().as_raw();
    let mine = |meta: &fs::Metadata| meta.uid() == uid && meta.mode() & 0o022 == 0;
    // Below /tmp anybody may have made the directory first and could hand us an address of theirs.
    let directory = fs::symlink_metadata(path.parent()?).ok().filter(|meta| meta.is_dir() && mine(meta));
    directory?;
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).ok()?;
    file.metadata().ok().filter(|meta| meta.is_file() && mine(meta))?;
    let mut text = Vec::new();
    file.take(limits::SMALL_FILE).read_to_end(&mut text).ok()?;
    let note: Note = serde_json::from_slice(&text).ok()?;
    (started(note.pid) == Some(note.started)).then_some(note)
}

fn write_at(path: &Path, note: &Note) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.is_dir()) {
        DirBuilder::new().mode(0o700).create(directory)?;
    }
    // A temporary name and a rename: a reader sees a whole note or none, and never follows a link that waits here.
    let temporary = path.with_extension(format!("{}.tmp", note.pid));
    let _ = fs::remove_file(&temporary);
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(note)?)?;
    fs::rename(&temporary, path)
}

/// Returns when a process started, or nothing when there is none: field 22 of its stat, after the name in brackets, which
/// may itself hold brackets and spaces.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn note_of(pid: u32) -> Note {
        let started = started(pid).unwrap_or(1);
        Note { addr: "http://127.0.0.1:4650".into(), token: "t".into(), pid, started }
    }

    #[test]
    fn a_note_is_read_back_and_only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("inner/minijob-dev.json");
        let note = note_of(std::process::id());
        write_at(&path, &note).expect("written");
        assert_eq!(read_at(&path), Some(note));
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
    }

    #[test]
    fn a_note_of_a_process_that_has_gone_or_whose_number_is_used_again_counts_as_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("minijob-dev.json");
        write_at(&path, &note_of(u32::MAX)).expect("written");
        assert_eq!(read_at(&path), None);
        let mut other = note_of(std::process::id());
        other.started += 1;
        write_at(&path, &other).expect("written");
        assert_eq!(read_at(&path), None);
    }

    #[test]
    fn a_note_that_others_could_have_written_counts_as_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("minijob-dev.json");
        write_at(&path, &note_of(std::process::id())).expect("written");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("mode set");
        assert_eq!(read_at(&path), None);
    }

    #[test]
    fn a_note_is_taken_away_at_the_end_unless_a_newer_one_stands_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("minijob-dev.json");
        let note = note_of(std::process::id());
        write_at(&path, &note).expect("written");
        let newer = Note { token: "newer".into(), ..note.clone() };
        let left = Left { path: path.clone(), note };
        write_at(&path, &newer).expect("written");
        drop(left);
        assert_eq!(read_at(&path), Some(newer.clone()));
        drop(Left { path: path.clone(), note: newer });
        assert!(!path.exists());
    }
}
