//! Environment files of the node, read before each start.
//!
//! An agent that runs as root could read every file of the machine, and a task would find in its environment what its user may
//! not read. So such an agent reads for a task only what the task's user may read, unless its owner allows tasks to be root.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use proto::envfile::{self, BYTES_MAX};
use proto::model::NodeEnvFile;

use super::user::UserPolicy;
use crate::driver::UserIds;

/// Why an environment file cannot be used. Every one names the file.
#[derive(Debug, thiserror::Error)]
#[error("env_files: {path}: {fault}")]
pub struct ReadEnvError {
    /// Which.
    pub path: String,
    /// Why.
    pub fault: EnvFault,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum EnvFault {
    /// There is none.
    #[error("there is no such file on this node (`optional: true` starts the task without it)")]
    Missing,
    /// The system refuses.
    #[error("cannot read it: {0}")]
    Read(io::Error),
    /// The task's user may not read it.
    #[error("user {0} of the task may not read it: give that user the right to, or name another `user`")]
    NotForUser(u32),
    /// It is a folder, a device, a pipe.
    #[error("it is no regular file")]
    NotRegular,
    /// It is larger than [`BYTES_MAX`].
    #[error("it is larger than {} KiB", BYTES_MAX >> 10)]
    TooLarge,
    /// It is not text.
    #[error("it is not UTF-8")]
    NotText,
    /// A line makes no sense.
    #[error("{0}")]
    Line(envfile::EnvFileError),
}

impl ReadEnvError {
    /// Returns the system's number, 0 when there is none.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match &self.fault {
            EnvFault::Missing => libc::ENOENT,
            EnvFault::Read(error) => error.raw_os_error().unwrap_or(0),
            EnvFault::NotForUser(_) => libc::EACCES,
            _ => 0,
        }
    }

    /// Returns whether the next try must fail as well: a disk that does not answer may do so later, a file has to be mended.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        !matches!(&self.fault, EnvFault::Read(error) if error.kind() != io::ErrorKind::PermissionDenied)
    }
}

/// Reads one file; none when it is missing and may be. Blocks on the disk.
///
/// # Errors
/// [`ReadEnvError`], which names the file and never what is in it.
pub fn read(
    file: &NodeEnvFile,
    path: &str,
    user: Option<&UserIds>,
    policy: &UserPolicy,
) -> Result<Vec<(String, String)>, ReadEnvError> {
    let user = user.filter(|_| !policy.allow_root);
    match read_text(Path::new(path), user).and_then(|text| envfile::parse(&text).map_err(EnvFault::Line)) {
        Err(EnvFault::Missing) if file.optional => Ok(Vec::new()),
        result => result.map_err(|fault| ReadEnvError { path: path.to_owned(), fault }),
    }
}

fn read_text(path: &Path, user: Option<&UserIds>) -> Result<String, EnvFault> {
    let fault = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => EnvFault::Missing,
        _ => EnvFault::Read(error),
    };
    if let Some(user) = user {
        let path = path.canonicalize().map_err(fault)?;
        for folder in path.ancestors().skip(1) {
            let meta = folder.metadata().map_err(fault)?;
            if !may(user, &meta, 0o1) {
                return Err(EnvFault::NotForUser(user.uid));
            }
        }
    }
    // A pipe without a writer would hold up the start for ever.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(fault)?;
    let meta = file.metadata().map_err(EnvFault::Read)?;
    if !meta.is_file() {
        return Err(EnvFault::NotRegular);
    }
    // Of the open file: the path may lead elsewhere by now.
    if let Some(user) = user.filter(|user| !may(user, &meta, 0o4)) {
        return Err(EnvFault::NotForUser(user.uid));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(EnvFault::Read)?;
    if bytes.len() > BYTES_MAX {
        return Err(EnvFault::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| EnvFault::NotText)
}

/// Returns whether the permission bits give a user this right (4: read, 1: pass).
fn may(user: &UserIds, meta: &Metadata, right: u32) -> bool {
    let shift = if meta.uid() == user.uid {
        6
    } else if meta.gid() == user.gid || user.groups.contains(&meta.gid()) {
        3
    } else {
        0
    };
    user.uid == 0 || meta.mode() & (right << shift) != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::user::DefaultUser;
    use super::*;

    const OPEN: UserPolicy = UserPolicy { default_user: DefaultUser::SameAsAgent, allow_root: true };

    fn read_at(path: &Path, optional: bool) -> Result<Vec<(String, String)>, ReadEnvError> {
        let path = path.display().to_string();
        read(&NodeEnvFile { path: path.clone(), optional }, &path, None, &OPEN)
    }

    #[test]
    fn a_missing_file_is_hopeless_by_its_name_unless_it_is_optional() {
        let path = Path::new("/no/such/file.env");
        let error = read_at(path, false).expect_err("it is missing");
        assert!(error.is_hopeless() && error.to_string().contains("/no/such/file.env"), "{error}");
        assert_eq!(read_at(path, true).expect("it may be missing"), []);
    }

    #[test]
    fn a_file_that_is_none_or_too_large_or_broken_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("x.env");
        assert!(matches!(read_at(dir.path(), true).expect_err("a folder").fault, EnvFault::NotRegular));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        assert!(matches!(read_at(&path, true).expect_err("a pipe").fault, EnvFault::NotRegular));
        std::fs::remove_file(&path).expect("it goes");
        std::fs::write(&path, vec![b'#'; BYTES_MAX + 1]).expect("it is written");
        assert!(matches!(read_at(&path, true).expect_err("huge").fault, EnvFault::TooLarge));
        std::fs::write(&path, "A=1\nroot:secret").expect("it is written");
        let error = read_at(&path, true).expect_err("broken").to_string();
        assert!(error.contains("x.env: line 2") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn an_agent_that_is_root_reads_nothing_for_a_user_that_the_user_may_not_read() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("secret.env");
        std::fs::write(&path, "PASSWORD=x").expect("it is written");
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is set");
        };
        let closed = UserPolicy { allow_root: false, ..OPEN };
        let nobody = UserIds { uid: 65534, gid: 65534, groups: vec![] };
        let text = path.display().to_string();
        let file = NodeEnvFile { path: text.clone(), optional: false };
        let for_nobody = |policy| read(&file, &text, Some(&nobody), policy);

        set(dir.path(), 0o755);
        set(&path, 0o600);
        let error = for_nobody(&closed).expect_err("it is another's");
        assert!(matches!(error.fault, EnvFault::NotForUser(65534)) && error.is_hopeless(), "{error}");
        assert_eq!(for_nobody(&OPEN).expect("tasks may be root here").len(), 1);
        set(&path, 0o644);
        assert_eq!(for_nobody(&closed).expect("anybody may").len(), 1);
        set(dir.path(), 0o700);
        assert!(for_nobody(&closed).is_err(), "nobody may not pass the folder");
    }
}
