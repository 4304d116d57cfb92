//! What the child does to itself before it executes: system calls only, no allocation, because it is the copy of one thread of many.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sched::CloneFlags;

use super::place::Place;

/// What a child was doing when it failed. The numbers go through a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    Session = 1,
    Terminal,
    Group,
    Limits,
    Ipc,
    Uts,
    Network,
    Mounts,
    Workdir,
    Capabilities,
    User,
    Privileges,
    Agent,
}

impl Step {
    const ALL: [Self; 13] = [
        Self::Session,
        Self::Terminal,
        Self::Group,
        Self::Limits,
        Self::Ipc,
        Self::Uts,
        Self::Network,
        Self::Mounts,
        Self::Workdir,
        Self::Capabilities,
        Self::User,
        Self::Privileges,
        Self::Agent,
    ];

    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as u8 == number)
    }

    /// The words after "cannot".
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Session => "begin a session",
            Self::Terminal => "get a terminal",
            Self::Group => "enter the task's control group",
            Self::Limits => "take over the task's limits",
            Self::Ipc => "enter the task's ipc namespace",
            Self::Uts => "enter the task's uts namespace",
            Self::Network => "enter the task's network namespace",
            Self::Mounts => "enter the task's mount namespace",
            Self::Workdir => "change to the task's working directory",
            Self::Capabilities => "take over the task's capabilities",
            Self::User => "become the user",
            Self::Privileges => "give up new privileges",
            Self::Agent => "stay with the agent, which is gone",
        }
    }

    fn of_namespace(flag: CloneFlags) -> Self {
        match flag {
            CloneFlags::CLONE_NEWIPC => Self::Ipc,
            CloneFlags::CLONE_NEWUTS => Self::Uts,
            CloneFlags::CLONE_NEWNET => Self::Network,
            _ => Self::Mounts,
        }
    }
}

/// All that the child needs, made before it exists.
pub(super) struct Entry {
    place: Place,
    oom_score: CString,
    has_terminal: bool,
    is_root: bool,
    /// Takes the number of the step that failed; the agent has the other end, and it alone.
    said: OwnedFd,
}

impl Entry {
    pub(super) fn new(place: Place, has_terminal: bool, said: OwnedFd) -> Self {
        let oom_score = CString::new(place.oom_score.as_str()).unwrap_or_default();
        let is_root = nix::unistd::geteuid().is_root();
        Self { place, oom_score, has_terminal, is_root, said }
    }

    /// Runs in the child, after its standard streams are in place.
    ///
    /// # Errors
    /// The error of the step whose number was sent.
    pub(super) fn enter(&self) -> io::Result<()> {
        self.steps().map_err(|step| {
            let error = io::Error::last_os_error();
            // SAFETY: one byte of this frame.
            unsafe { libc::write(self.said.as_raw_fd(), (&raw const step).cast(), 1) };
            error
        })
    }

    fn steps(&self) -> Result<(), Step> {
        // SAFETY: system calls on numbers and on values that outlive them.
        unsafe {
            check(libc::setsid(), Step::Session)?;
            if self.has_terminal {
                check(libc::ioctl(0, libc::TIOCSCTTY, 0), Step::Terminal)?;
            }
            for group in &self.place.groups {
                check(libc::write(group.as_raw_fd(), c"0".as_ptr().cast(), 1) as i64, Step::Group)?;
            }
            self.take_limits()?;
            for (flag, namespace) in &self.place.namespaces {
                check(libc::setns(namespace.as_raw_fd(), flag.bits()), Step::of_namespace(*flag))?;
            }
            check(libc::fchdir(self.place.workdir.as_raw_fd()), Step::Workdir)?;
            if self.is_root {
                self.take_identity()?;
            }
            if self.place.no_new_privileges {
                check(prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0), Step::Privileges)?;
            }
            libc::umask(0o022);
            self.stay_with_agent()
        }
    }

    unsafe fn take_limits(&self) -> Result<(), Step> {
        // SAFETY: as in `steps`.
        unsafe {
            let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            if file >= 0 {
                // An agent that is not root may not lower it, and has not raised it.
                libc::write(file, self.oom_score.as_ptr().cast(), self.oom_score.as_bytes().len());
                libc::close(file);
            }
            for (resource, limit) in &self.place.rlimits {
                check(libc::setrlimit(*resource as _, limit), Step::Limits)?;
            }
            check(libc::setpriority(libc::PRIO_PROCESS, 0, self.place.nice), Step::Limits)
        }
    }

    /// Becomes the user with at most what the task may have. The plain system calls: the wrappers of libc would tell all threads, which
    /// this copy does not have.
    unsafe fn take_identity(&self) -> Result<(), Step> {
        let place = &self.place;
        let (uid, gid) = (place.user.uid, place.user.gid);
        let (groups, count) = (place.user.groups.as_ptr(), place.user.groups.len());
        // SAFETY: as in `steps`.
        unsafe {
            for number in (0..64).filter(|number| place.bounding >> number & 1 == 0) {
                if prctl(libc::PR_CAPBSET_DROP, number, 0) < 0 {
                    // The kernel's last one has passed.
                    break;
                }
            }
            if place.ambient != 0 {
                check(prctl(libc::PR_SET_KEEPCAPS, 1, 0), Step::Capabilities)?;
            }
            check(libc::syscall(libc::SYS_setgroups, count, groups), Step::User)?;
            check(libc::syscall(libc::SYS_setresgid, gid, gid, gid), Step::User)?;
            check(libc::syscall(libc::SYS_setresuid, uid, uid, uid), Step::User)?;
            if place.ambient == 0 {
                return Ok(());
            }
            set_capabilities(place.ambient)?;
            for number in (0..64).filter(|number| place.ambient >> number & 1 == 1) {
                let raise = libc::PR_CAP_AMBIENT_RAISE as u64;
                check(prctl(libc::PR_CAP_AMBIENT, raise, number), Step::Capabilities)?;
            }
        }
        Ok(())
    }

    /// Ends with the thread that made this child, which lives until the child has ended or the agent has. After the change of user,
    /// which takes this back.
    unsafe fn stay_with_agent(&self) -> Result<(), Step> {
        // SAFETY: as in `steps`.
        unsafe {
            check(prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0), Step::Agent)?;
            let mut other_end = libc::pollfd { fd: self.said.as_raw_fd(), events: 0, revents: 0 };
            let broken = libc::poll(&raw mut other_end, 1, 0) > 0 && other_end.revents & libc::POLLERR != 0;
            if broken { Err(Step::Agent) } else { Ok(()) }
        }
    }
}

fn check(result: impl Into<i64>, step: Step) -> Result<(), Step> {
    if result.into() >= 0 { Ok(()) } else { Err(step) }
}

unsafe fn prctl(option: i32, second: u64, third: u64) -> i64 {
    // SAFETY: the caller passes numbers that the option understands.
    unsafe { libc::syscall(libc::SYS_prctl, option, second, third, 0u64, 0u64) }
}

/// Makes `set` what is effective, permitted and inheritable.
unsafe fn set_capabilities(set: u64) -> Result<(), Step> {
    /// The kernel's third version: two words of 32 bits each.
    const VERSION: u32 = 0x2008_0522;
    let head = [VERSION, 0];
    let (low, high) = (set as u32, (set >> 32) as u32);
    let sets = [[low, low, low], [high, high, high]];
    // SAFETY: a header and two triples, as this version wants them.
    check(unsafe { libc::syscall(libc::SYS_capset, head.as_ptr(), sets.as_ptr()) }, Step::Capabilities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_known_by_its_number() {
        for step in Step::ALL {
            assert_eq!(Step::from_number(step as u8), Some(step));
        }
        assert_eq!((Step::from_number(0), Step::from_number(200)), (None, None));
    }
}
