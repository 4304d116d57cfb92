//! Files that travel with the job, written into the task's directory before each start.
//!
//! The directory belongs to the task's user, who may have put symbolic links into it, and the agent may be root: every part of a
//! path is opened below the one before it and no link is followed, so that nothing outside of the directory is ever written.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use proto::model::TaskFile;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::driver::UserIds;

/// Opens a directory and nothing else.
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteFileError {
    /// Its place is not in the task's directory.
    #[error("files: `{to}` is not inside of the task's directory: use a relative path without `..`")]
    Outside {
        /// As the job says it.
        to: String,
    },
    /// The system refuses.
    #[error("files: cannot write `{to}` in the task's directory: {source}")]
    Write {
        /// As the job says it.
        to: String,
        /// Why. `ELOOP` or `ENOTDIR`: a symbolic link or a file is where a folder should be.
        source: io::Error,
    },
}

/// Writes all files below `dir` for `user`, or for whoever runs the agent; makes the folders on their way. Each replaces what has
/// its name at once, so that nobody sees half of it; a second call gives the same.
///
/// # Errors
/// [`WriteFileError`] for the first that cannot be written.
pub fn write_all(dir: &Path, files: &[TaskFile], user: Option<&UserIds>) -> Result<(), WriteFileError> {
    for file in files {
        let to = || file.to.clone();
        let (folders, name) = split(&file.to).ok_or_else(|| WriteFileError::Outside { to: to() })?;
        let written = folder(dir, &folders, user).and_then(|folder| replace(&folder, name, file, user));
        written.map_err(|source| WriteFileError::Write { to: to(), source })?;
    }
    Ok(())
}

/// Splits a path into its folders and its last name; none when it leads out of where it begins.
fn split(to: &str) -> Option<(Vec<&OsStr>, &OsStr)> {
    let mut parts = Vec::new();
    for part in Path::new(to).components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    let name = parts.pop().filter(|_| !to.ends_with('/'))?;
    Some((parts, name))
}

fn folder(dir: &Path, parts: &[&OsStr], user: Option<&UserIds>) -> io::Result<OwnedFd> {
    let mut here = rustix::fs::open(dir, FOLDER, Mode::empty())?;
    for part in parts {
        here = match rustix::fs::openat(&here, *part, FOLDER, Mode::empty()) {
            Err(Errno::NOENT) => {
                rustix::fs::mkdirat(&here, *part, Mode::from_raw_mode(0o755))?;
                let made = rustix::fs::openat(&here, *part, FOLDER, Mode::empty())?;
                give(&made, user)?;
                made
            }
            there => there?,
        };
    }
    Ok(here)
}

fn replace(folder: &OwnedFd, name: &OsStr, file: &TaskFile, user: Option<&UserIds>) -> io::Result<()> {
    let mut beside = std::ffi::OsString::from(".minijob-");
    beside.push(name);
    // Left by an agent that was killed, or put there by the task.
    match rustix::fs::unlinkat(folder, &beside, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let new = rustix::fs::openat(folder, &beside, flags, Mode::from_raw_mode(0o600))?;
    let mut new = std::fs::File::from(new);
    let written = new.write_all(&file.content).and_then(|()| {
        give(&new, user)?;
        rustix::fs::fchmod(&new, Mode::from_raw_mode(file.mode & 0o777))?;
        Ok(rustix::fs::renameat(folder, &beside, folder, name)?)
    });
    if written.is_err() {
        // What stays is removed by the next try.
        let _ = rustix::fs::unlinkat(folder, &beside, AtFlags::empty());
    }
    written
}

fn give(what: impl std::os::fd::AsFd, user: Option<&UserIds>) -> io::Result<()> {
    let Some(user) = user else { return Ok(()) };
    Ok(rustix::fs::fchown(what, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn file(to: &str, content: &str) -> TaskFile {
        TaskFile { to: to.into(), content: content.to_owned().into(), mode: 0o640 }
    }

    fn nobody() -> Option<UserIds> {
        nix::unistd::Uid::effective().is_root().then(|| UserIds { uid: 65534, gid: 65534, groups: vec![] })
    }

    #[test]
    fn a_file_is_there_with_its_mode_owner_and_folders_and_the_next_start_replaces_it() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let user = nobody();
        write_all(dir.path(), &[file("etc/app/x.conf", "old")], user.as_ref()).expect("it is written");
        write_all(dir.path(), &[file("./etc/app/x.conf", "new")], user.as_ref()).expect("it is written");
        let path = dir.path().join("etc/app/x.conf");
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "new");
        let meta = path.metadata().expect("it is there");
        assert_eq!(meta.permissions().mode() & 0o7777, 0o640);
        if let Some(user) = user {
            let folder = dir.path().join("etc").metadata().expect("it is there");
            assert_eq!((meta.uid(), folder.uid()), (user.uid, user.uid));
        }
        let names = std::fs::read_dir(dir.path().join("etc/app")).expect("it is there").count();
        assert_eq!(names, 1, "nothing else is left");
    }

    #[test]
    fn a_path_that_leaves_the_directory_is_refused_by_its_name() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let task = dir.path().join("task");
        std::fs::create_dir(&task).expect("it is made");
        for to in ["../x", "/etc/x", "a/../../x", "", ".", "a/..", "x/"] {
            let error = write_all(&task, &[file(to, "")], None).expect_err("it is refused");
            assert!(matches!(&error, WriteFileError::Outside { .. }), "{to:?}: {error}");
            assert!(error.to_string().contains(&format!("`{to}`")), "{error}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("it is there").count(), 1);
    }

    #[test]
    fn no_symbolic_link_of_a_task_leads_the_agent_elsewhere() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let (task, outside) = (dir.path().join("task"), dir.path().join("outside"));
        for folder in [&task, &outside] {
            std::fs::create_dir(folder).expect("it is made");
        }
        std::fs::write(outside.join("passwd"), "root").expect("it is written");
        symlink(&outside, task.join("etc")).expect("it is linked");
        symlink(outside.join("passwd"), task.join("last")).expect("it is linked");
        symlink(outside.join("passwd"), task.join(".minijob-tmp")).expect("it is linked");

        let error = write_all(&task, &[file("etc/passwd", "evil")], None).expect_err("it is refused");
        assert!(matches!(error, WriteFileError::Write { .. }), "{error}");
        write_all(&task, &[file("last", "mine"), file("tmp", "mine")], None).expect("links are replaced");
        assert_eq!(std::fs::read_to_string(outside.join("passwd")).expect("it is there"), "root");
        assert!(!task.join("last").is_symlink() && !task.join("tmp").is_symlink());
    }

    #[test]
    fn a_folder_in_the_way_is_an_error_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        std::fs::create_dir_all(dir.path().join("x/full")).expect("it is made");
        write_all(dir.path(), &[file("x", "")], None).expect_err("it is in the way");
        assert_eq!(std::fs::read_dir(dir.path()).expect("it is there").count(), 1);
    }
}
