//! All that a command takes over from a running process.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use nix::sched::CloneFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::proc::{self, Status};
use crate::driver::UserIds;

/// Why a process cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It has ended.
    #[error("its main process {pid} has just ended")]
    Ended {
        /// Which.
        pid: u32,
    },
    /// The kernel does not let this agent look.
    #[error("cannot read {what} of process {pid}: {source}")]
    Read {
        /// What of it.
        what: &'static str,
        /// Which.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// Its control group is nowhere to be found.
    #[error("cannot enter its control group `{group}`: that hierarchy is not mounted where the agent runs")]
    Group {
        /// The line of `/proc/PID/cgroup`.
        group: String,
    },
}

/// Where and as what a process runs; holds on to it, so that it stays that process whatever becomes of its number.
#[derive(Debug)]
pub struct Place {
    /// Becomes readable when the process ends.
    pub pidfd: OwnedFd,
    /// The environment it was started with.
    pub env: Vec<(String, String)>,
    /// Whom the command becomes.
    pub user: UserIds,
    pub(super) pid: u32,
    pub(super) workdir: File,
    pub(super) bounding: u64,
    pub(super) ambient: u64,
    pub(super) no_new_privileges: bool,
    /// `cgroup.procs` of groups to join.
    pub(super) groups: Vec<File>,
    /// Namespaces to enter, that of mounts last: the others are opened already, and it changes what paths mean.
    pub(super) namespaces: Vec<(CloneFlags, File)>,
    /// The namespace to be born into.
    pub(super) pid_namespace: Option<File>,
    pub(super) rlimits: Vec<(u32, libc::rlimit)>,
    pub(super) nice: i32,
    pub(super) oom_score: String,
}

/// Namespaces that a task may have of its own, by their names in `/proc/PID/ns`.
const NAMESPACES: [(&str, CloneFlags); 4] = [
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("net", CloneFlags::CLONE_NEWNET),
    ("mnt", CloneFlags::CLONE_NEWNS),
];

/// Holds on to a process. Whether the number still is the process that is meant must be asked for afterwards.
///
/// # Errors
/// When there is none with that number.
pub fn hold(pid: u32) -> Result<OwnedFd, PlaceError> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(PlaceError::Ended { pid })?;
    pidfd_open(number, PidfdFlags::NONBLOCK).map_err(|_| PlaceError::Ended { pid })
}

impl Place {
    /// Looks at a process that is held and is known to run. Blocks on `/proc` alone.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn of(pid: u32, pidfd: OwnedFd) -> Result<Self, PlaceError> {
        let fail = |what| move |source| PlaceError::Read { what, pid, source };
        let text = |name: &'static str| fs::read_to_string(format!("/proc/{pid}/{name}")).map_err(fail(name));
        let own = |name: &'static str| fs::read_to_string(format!("/proc/self/{name}")).map_err(fail(name));
        let status = Status::parse(&text("status")?).ok_or(PlaceError::Ended { pid })?;
        let environ = environ(pid).map_err(fail("environ"))?;
        let paths = proc::groups_to_join(&text("cgroup")?, &own("cgroup")?, &own("mountinfo")?)
            .map_err(|group| PlaceError::Group { group })?;
        let open = |path| File::options().write(true).open(path).map_err(fail("the control group"));
        let groups = paths.into_iter().map(open).collect::<Result<_, _>>()?;
        let workdir = File::options()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
            .open(format!("/proc/{pid}/cwd"))
            .map_err(fail("the working directory"))?;
        let mut namespaces = Vec::new();
        for (name, flag) in NAMESPACES {
            namespaces.extend(foreign_namespace(pid, name)?.map(|file| (flag, file)));
        }
        let place = Self {
            env: proc::environment(&environ),
            user: UserIds { uid: status.uid, gid: status.gid, groups: status.groups },
            pid,
            workdir,
            bounding: status.bounding,
            ambient: status.ambient,
            no_new_privileges: status.no_new_privileges,
            groups,
            namespaces,
            pid_namespace: foreign_namespace(pid, "pid")?,
            rlimits: proc::rlimits(&text("limits")?),
            nice: nice(pid),
            oom_score: text("oom_score_adj")?.trim().to_owned(),
            pidfd,
        };
        // What was read is of that process only if it is there still.
        if place.has_ended() { Err(PlaceError::Ended { pid }) } else { Ok(place) }
    }

    fn has_ended(&self) -> bool {
        let mut fds = [rustix::event::PollFd::new(&self.pidfd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&rustix::time::Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Sets a variable of the environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Makes the command another user's: nothing is handed on to it but what that user has.
    pub fn become_user(&mut self, user: UserIds, home: &str) {
        (self.user, self.ambient) = (user, 0);
        self.set("HOME", home);
    }
}

/// Reads an environment. A process that has executed a moment ago has none yet, and every task has some.
fn environ(pid: u32) -> io::Result<Vec<u8>> {
    const TRIES: u32 = 40;
    for _ in 1..TRIES {
        let bytes = fs::read(format!("/proc/{pid}/environ"))?;
        if !bytes.is_empty() {
            return Ok(bytes);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    fs::read(format!("/proc/{pid}/environ"))
}

/// Opens a namespace of a process that is not the agent's own.
fn foreign_namespace(pid: u32, name: &'static str) -> Result<Option<File>, PlaceError> {
    let fail = |source| PlaceError::Read { what: "the namespaces", pid, source };
    let path = format!("/proc/{pid}/ns/{name}");
    let theirs = fs::metadata(&path).map_err(fail)?;
    let ours = fs::metadata(format!("/proc/self/ns/{name}")).map_err(fail)?;
    if theirs.ino() == ours.ino() { Ok(None) } else { File::open(path).map(Some).map_err(fail) }
}

fn nice(pid: u32) -> i32 {
    // SAFETY: a system call on numbers. An error is -1 too; then the process has ended, which is found out afterwards.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, pid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_like_this_one_needs_nothing_entered() {
        let mut child = std::process::Command::new("sleep").arg("100").env("SEEN", "yes").spawn().unwrap();
        let place = hold(child.id()).and_then(|pidfd| Place::of(child.id(), pidfd)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(place.groups.is_empty() && place.namespaces.is_empty() && place.pid_namespace.is_none());
        assert!(place.env.contains(&("SEEN".into(), "yes".into())));
        assert_eq!((place.user.uid, place.rlimits.len()), (nix::unistd::geteuid().as_raw(), 16));
        assert!(place.has_ended(), "the hold outlives the process");
    }

    #[test]
    fn a_process_that_has_ended_is_said_to_have() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pidfd = hold(child.id()).unwrap();
        child.wait().unwrap();
        assert!(Place::of(child.id(), pidfd).is_err());
        assert!(matches!(hold(u32::MAX), Err(PlaceError::Ended { .. })));
    }

    #[test]
    fn another_user_takes_over_no_privilege() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let mut place = hold(child.id()).and_then(|pidfd| Place::of(child.id(), pidfd)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        place.ambient = 1;
        place.become_user(UserIds { uid: 5, gid: 5, groups: vec![] }, "/home/five");
        assert_eq!((place.user.uid, place.ambient), (5, 0));
        assert_eq!(place.env.iter().filter(|(name, _)| name == "HOME").count(), 1);
    }
}
