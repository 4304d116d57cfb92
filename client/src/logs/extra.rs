//! Where output goes beside the kept files: a file of the node, the journal.
//!
//! The file is opened with the rights of the task's user: whoever may submit a job could write anywhere otherwise. It is never
//! rotated here; one that was moved away is made anew within a second.

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Instant;

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

use super::files::Stream;
use super::journal::Journal;
use crate::limits::EXTRA_FILE_LOOK;

/// What is wanted beside the kept files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Also {
    /// Both streams are appended to this file, an absolute path.
    pub file: Option<PathBuf>,
    /// Both streams go to the journal under this identifier.
    pub journal: Option<String>,
}

/// With whose rights a file is opened; groups are complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// The open ends. Nothing here can fail for the caller, and nothing waits but a disk.
#[derive(Debug, Default)]
pub struct Extra {
    file: Option<Appended>,
    journal: Option<Journal>,
}

impl Extra {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(also: Also, owner: Option<Owner>) -> Self {
        let file = also.file.map(|path| Appended { path, owner, file: None, looked: None, dropped: 0 });
        Self { file, journal: also.journal.map(Journal::new) }
    }

    /// Opens the file, so that a start can say that it cannot be written.
    ///
    /// # Errors
    /// With the path that cannot be opened.
    pub fn try_open(&mut self) -> Result<(), (PathBuf, io::Error)> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.open().map(|_| ()).map_err(|error| (file.path.clone(), error))
    }

    /// Writes output of one stream.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if let Some(file) = &mut self.file {
            file.append(bytes);
        }
        if let Some(journal) = &mut self.journal {
            journal.write(stream, bytes);
        }
    }

    /// Sends what has come of the last lines.
    pub fn finish(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.finish();
        }
    }

    /// Returns how many bytes did not get where they should, in all.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.dropped) + self.journal.as_ref().map_or(0, Journal::dropped)
    }
}

/// A file of the node that is appended to.
#[derive(Debug)]
struct Appended {
    path: PathBuf,
    owner: Option<Owner>,
    file: Option<File>,
    /// When it was last looked whether the path still leads to the file.
    looked: Option<Instant>,
    dropped: u64,
}

impl Appended {
    fn append(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.open().and_then(|file| file.write(rest)) {
                Ok(written) if written > 0 => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => {
                    self.dropped += rest.len() as u64;
                    return;
                }
            }
        }
    }

    /// Returns the file that the path leads to. One that cannot be opened is tried again with the next look.
    fn open(&mut self) -> io::Result<&mut File> {
        let due = self.looked.is_none_or(|looked| looked.elapsed() >= EXTRA_FILE_LOOK);
        if due {
            self.looked = Some(Instant::now());
            let is_same = |file: &File| same(&file.metadata(), &std::fs::metadata(&self.path));
            if !self.file.as_ref().is_some_and(is_same) {
                self.file = None;
                self.file = Some(self.open_as_owner()?);
            }
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Both ids are those of this thread alone and decide about files and nothing else.
    fn open_as_owner(&self) -> io::Result<File> {
        // A pipe that nobody reads must not stop the writer of all tasks.
        let mut options = File::options();
        options.append(true).create(true).mode(0o640).custom_flags(libc::O_NONBLOCK);
        let Some(owner) = self.owner.as_ref().filter(|_| Uid::effective().is_root()) else {
            return options.open(&self.path);
        };
        let ours = nix::unistd::getgroups()?;
        set_groups(owner.groups.iter().copied())?;
        setfsgid(Gid::from_raw(owner.gid));
        setfsuid(Uid::from_raw(owner.uid));
        let opened = options.open(&self.path);
        setfsuid(Uid::effective());
        setfsgid(Gid::effective());
        set_groups(ours.into_iter().map(Gid::as_raw))?;
        opened
    }
}

fn set_groups(groups: impl Iterator<Item = u32>) -> io::Result<()> {
    let groups: Vec<_> = groups.map(rustix::fs::Gid::from_raw).collect();
    Ok(rustix::thread::set_thread_groups(&groups)?)
}

fn same(open: &io::Result<Metadata>, there: &io::Result<Metadata>) -> bool {
    matches!((open, there), (Ok(open), Ok(there)) if (open.dev(), open.ino()) == (there.dev(), there.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extra(path: &std::path::Path, owner: Option<Owner>) -> Extra {
        Extra::new(Also { file: Some(path.to_owned()), journal: None }, owner)
    }

    #[test]
    fn both_streams_are_appended_and_a_file_that_was_moved_away_is_made_anew() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("x.log");
        std::fs::write(&path, "before\n").expect("it is written");
        let mut extra = extra(&path, None);
        extra.write(Stream::Stdout, b"out\n");
        extra.write(Stream::Stderr, b"err\n");
        std::fs::rename(&path, dir.path().join("x.log.1")).expect("it is moved");
        std::thread::sleep(EXTRA_FILE_LOOK);
        extra.write(Stream::Stdout, b"after\n");
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("it is there");
        assert_eq!((read("x.log.1"), read("x.log")), ("before\nout\nerr\n".into(), "after\n".into()));
        assert_eq!(extra.dropped(), 0);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_a_pipe_that_nobody_reads_costs_no_time() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        for path in [pipe.as_path(), "/dev/full".as_ref(), "/no/such/x.log".as_ref()] {
            let mut extra = extra(path, None);
            extra.write(Stream::Stdout, b"12345");
            extra.write(Stream::Stderr, b"678");
            assert_eq!(extra.dropped(), 8, "{path:?}");
        }
        let (path, _) = extra("/no/such/x.log".as_ref(), None).try_open().expect_err("there is no folder");
        assert_eq!(path, std::path::Path::new("/no/such/x.log"));
    }

    #[test]
    fn a_writer_that_is_root_writes_only_where_the_tasks_user_may() {
        if !Uid::effective().is_root() {
            return;
        }
        let dir = tempfile::tempdir().expect("a scratch folder");
        let set = |mode| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).expect("it is set");
        };
        let path = dir.path().join("x.log");
        let nobody = || Some(Owner { uid: 65534, gid: 65534, groups: vec![] });
        set(0o755);
        let mut closed = extra(&path, nobody());
        let (_, error) = closed.try_open().expect_err("it is root's folder");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        std::fs::write(dir.path().join("y"), "").expect("root is root again");
        set(0o777);
        extra(&path, nobody()).try_open().expect("anybody may");
        assert_eq!(path.metadata().expect("it is there").uid(), 65534);
    }
}
