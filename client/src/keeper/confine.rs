//! What a child does to itself before it executes: limits, priorities, namespaces, privileges. All of it is prepared in the
//! keeper; the functions for the child run on the keeper's memory and make system calls only.

use std::ffi::CString;

use proto::model::{CAPABILITIES, RLIMITS};

use super::message::{Confine, Start, StartFailed, User};
use super::mounts::Mounts;
use super::spawn::failed;

/// What a child was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    None,
    Cgroup,
    Link,
    Stdio,
    OomScore,
    /// The flag of the namespace.
    Isolate(i32),
    Loopback,
    /// The own `/tmp`, with what must stay visible in it.
    Tmp,
    Proc,
    /// Number of the bind, and whether its source is meant.
    Bind(u32, bool),
    /// Number of the limit.
    Rlimit(u32),
    Nice,
    Capabilities,
    Privileges,
    User,
    Workdir,
    Exec,
}

/// Why a child does not execute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Halt {
    pub(super) step: Step,
    pub(super) errno: i32,
}

/// Turns the result of a system call into an outcome.
pub(super) fn check(result: i64, step: Step) -> Result<(), Halt> {
    // SAFETY: errno of the one thread whose memory this is.
    if result >= 0 { Ok(()) } else { Err(Halt { step, errno: unsafe { *libc::__errno_location() } }) }
}

/// A [`Confine`] in the form that the kernel wants.
#[derive(Debug, Default)]
pub(super) struct Confined {
    /// Whether it is born into a pid namespace of its own.
    pub(super) pid: bool,
    ipc: bool,
    network: bool,
    pub(super) mounts: Option<Mounts>,
    rlimits: Vec<(u32, libc::rlimit)>,
    nice: Option<i32>,
    oom_score: Option<CString>,
    capabilities: Option<u64>,
    no_new_privileges: bool,
}

impl Confined {
    /// Prepares what `confine` asks for; nothing without it.
    ///
    /// # Errors
    /// With the value that no kernel takes.
    pub(super) fn new(confine: Option<&Confine>) -> Result<Confined, StartFailed> {
        let Some(confine) = confine else { return Ok(Confined::default()) };
        let bound = |value: Option<u64>| value.unwrap_or(libc::RLIM_INFINITY);
        let mut rlimits = Vec::new();
        for limit in &confine.rlimits {
            let (rlim_cur, rlim_max) = (bound(limit.soft), bound(limit.hard));
            if rlim_cur > rlim_max {
                let name = rlimit_name(limit.resource);
                let message =
                    format!("rlimits: {name}: the soft limit {rlim_cur} is above the hard one {rlim_max}");
                return Err(failed("rlimits", libc::EINVAL, &message));
            }
            rlimits.push((limit.resource, libc::rlimit { rlim_cur, rlim_max }));
        }
        let score = confine.oom_score_adj.map(|score| CString::new(score.to_string()).unwrap_or_default());
        Ok(Confined {
            pid: confine.pid,
            ipc: confine.ipc,
            network: confine.network,
            mounts: Mounts::new(confine)?,
            rlimits,
            nice: confine.nice,
            oom_score: score,
            capabilities: confine.capabilities,
            no_new_privileges: !confine.new_privileges,
        })
    }

    /// Child: sets how gladly the kernel kills it. Without a wish of its own it gets back what the agent had, if it may.
    pub(super) unsafe fn set_oom_score(&self, origin: (*const u8, usize)) -> Result<(), Halt> {
        let wanted = self.oom_score.as_ref().map(|score| (score.as_ptr().cast(), score.as_bytes().len()));
        let (text, length) = wanted.unwrap_or(origin);
        // SAFETY: a path and a text that outlive the calls.
        let result = unsafe {
            let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            let written = if file >= 0 { libc::write(file, text.cast(), length) as i64 } else { -1 };
            let outcome = check(written, Step::OomScore);
            libc::close(file);
            outcome
        };
        if wanted.is_some() { result } else { Ok(()) }
    }

    /// Child: leaves the namespaces of the machine, but for that of pids, which it was born into.
    pub(super) unsafe fn isolate(&mut self) -> Result<(), Halt> {
        let own = |wanted: bool, flag| {
            // SAFETY: a system call on a number; this process shares no file system state with the keeper.
            if wanted { check(unsafe { libc::unshare(flag) }.into(), Step::Isolate(flag)) } else { Ok(()) }
        };
        own(self.ipc, libc::CLONE_NEWIPC)?;
        own(self.network, libc::CLONE_NEWNET)?;
        if self.network {
            // SAFETY: system calls on values of this frame.
            unsafe { raise_loopback()? };
        }
        if let Some(mounts) = &mut self.mounts {
            own(true, libc::CLONE_NEWNS)?;
            // SAFETY: this process has just got its own mounts.
            unsafe { mounts.enter()? };
        }
        Ok(())
    }

    /// Child: sets limits and priority, while it still may raise them.
    pub(super) unsafe fn limit(&self) -> Result<(), Halt> {
        for (number, (resource, limit)) in (0..).zip(&self.rlimits) {
            // SAFETY: `limit` is valid.
            check(unsafe { libc::setrlimit(*resource as _, limit) }.into(), Step::Rlimit(number))?;
        }
        if let Some(nice) = self.nice {
            // SAFETY: a system call on numbers.
            check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }.into(), Step::Nice)?;
        }
        Ok(())
    }

    /// Child: takes its user and exactly its capabilities. The plain system calls: the wrappers of libc would tell "all
    /// threads", which here are the keeper's.
    pub(super) unsafe fn take_identity(&self, user: Option<&User>, is_root: bool) -> Result<(), Halt> {
        // SAFETY: system calls on numbers and on lists that outlive them.
        unsafe {
            if let Some(set) = self.capabilities {
                bound_capabilities(set)?;
                if !is_root {
                    check(prctl(libc::PR_SET_KEEPCAPS, 1, 0), Step::Capabilities)?;
                }
            }
            if let Some(user) = user {
                let (groups, count) = (user.groups.as_ptr(), user.groups.len());
                let (uid, gid) = (user.uid, user.gid);
                check(libc::syscall(libc::SYS_setgroups, count, groups), Step::User)?;
                check(libc::syscall(libc::SYS_setresgid, gid, gid, gid), Step::User)?;
                check(libc::syscall(libc::SYS_setresuid, uid, uid, uid), Step::User)?;
            }
            if let Some(set) = self.capabilities {
                set_capabilities(set)?;
                // Root gets on exec what its bounding set leaves; others keep only what is ambient.
                let raised = (0..64).filter(|number| !is_root && set >> number & 1 == 1);
                for number in raised {
                    let raise = libc::PR_CAP_AMBIENT_RAISE as u64;
                    check(prctl(libc::PR_CAP_AMBIENT, raise, number), Step::Capabilities)?;
                }
            }
            if self.no_new_privileges {
                check(prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0), Step::Privileges)?;
            }
        }
        Ok(())
    }

    /// Says in the keeper why a child did not get through, for what is prepared here.
    pub(super) fn explain(&self, start: &Start, halt: Halt) -> StartFailed {
        let what = nix::errno::Errno::from_raw(halt.errno).desc();
        let confine = start.confine.clone().unwrap_or_default();
        let (step, object) = match halt.step {
            Step::OomScore => ("oom_score_adj", confine.oom_score_adj.unwrap_or(0).to_string()),
            Step::Nice => ("nice", confine.nice.unwrap_or(0).to_string()),
            Step::Rlimit(number) => {
                let limit = confine.rlimits.get(number as usize).copied().unwrap_or_default();
                let word = |value: Option<u64>| value.map_or("unlimited".into(), |value| value.to_string());
                let name = rlimit_name(limit.resource);
                ("rlimits", format!("{name} {}:{}", word(limit.soft), word(limit.hard)))
            }
            Step::Capabilities => ("capabilities", capability_names(confine.capabilities.unwrap_or(0))),
            Step::Isolate(libc::CLONE_NEWIPC) => ("isolate", "ipc".into()),
            Step::Isolate(libc::CLONE_NEWNET) => ("isolate", "network".into()),
            Step::Isolate(_) => ("isolate", "mount".into()),
            Step::Loopback => ("isolate", "network: loopback".into()),
            Step::Tmp => ("isolate", "mount: /tmp".into()),
            Step::Proc => ("isolate", "pid: /proc".into()),
            Step::Bind(number, is_source) => {
                let bind = confine.binds.get(number as usize).cloned().unwrap_or_default();
                let (path, next) = match (is_source, halt.errno) {
                    (true, _) => (bind.source, ""),
                    (false, libc::ENOENT) => (
                        bind.target,
                        "; make it on this node, or mount below the task's own directory or /tmp",
                    ),
                    (false, _) => (bind.target, ""),
                };
                let text = format!("mount {path}: {what}{next}{}", must_be_root(halt.errno));
                return failed("mount", halt.errno, &text);
            }
            _ => ("privileges", "no_new_privs".into()),
        };
        failed(step, halt.errno, &format!("{step} {object}: {what}{}", must_be_root(halt.errno)))
    }
}

/// The hint for agents that are not root, which is what most refusals come from.
pub(super) fn must_be_root(errno: i32) -> &'static str {
    let refused = matches!(errno, libc::EPERM | libc::EACCES) && !nix::unistd::geteuid().is_root();
    if refused { "; the agent would have to run as root" } else { "" }
}

fn rlimit_name(resource: u32) -> String {
    let known = RLIMITS.iter().find(|(_, number)| *number == resource);
    known.map_or_else(|| resource.to_string(), |(name, _)| (*name).to_owned())
}

fn capability_names(set: u64) -> String {
    let names: Vec<&str> = CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(bit, _)| set >> bit & 1 == 1)
        .map(|(_, name)| *name)
        .collect();
    format!("[{}]", names.join(", "))
}

unsafe fn prctl(option: i32, second: u64, third: u64) -> i64 {
    // SAFETY: the caller passes numbers that the option understands.
    unsafe { libc::syscall(libc::SYS_prctl, option, second, third, 0u64, 0u64) }
}

/// Takes all but `set` out of what may ever be gained.
unsafe fn bound_capabilities(set: u64) -> Result<(), Halt> {
    for number in (0..64).filter(|number| set >> number & 1 == 0) {
        // SAFETY: numbers.
        match check(unsafe { prctl(libc::PR_CAPBSET_DROP, number, 0) }, Step::Capabilities) {
            // The kernel's last one has passed.
            Err(Halt { errno: libc::EINVAL, .. }) => break,
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Makes `set` what is effective, permitted and inheritable.
unsafe fn set_capabilities(set: u64) -> Result<(), Halt> {
    /// The kernel's third version: two words of 32 bits each.
    const VERSION: u32 = 0x2008_0522;
    let head = [VERSION, 0];
    let (low, high) = (set as u32, (set >> 32) as u32);
    let sets = [[low, low, low], [high, high, high]];
    // SAFETY: a header and two triples, as this version wants them.
    check(unsafe { libc::syscall(libc::SYS_capset, head.as_ptr(), sets.as_ptr()) }, Step::Capabilities)
}

/// Brings up `lo`, which a new network namespace has and leaves down.
unsafe fn raise_loopback() -> Result<(), Halt> {
    /// `struct ifreq`.
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: i16,
        rest: [u8; 22],
    }
    let mut request =
        Request { name: [0; 16], flags: (libc::IFF_UP | libc::IFF_RUNNING) as i16, rest: [0; 22] };
    request.name[0] = b'l';
    request.name[1] = b'o';
    // SAFETY: `request` is what the call expects, and outlives it.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        check(socket.into(), Step::Loopback)?;
        let outcome =
            check(libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw mut request).into(), Step::Loopback);
        libc::close(socket);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::message::Rlimit;

    #[test]
    fn a_soft_limit_above_the_hard_one_is_refused_before_anything_starts() {
        let rlimits = vec![Rlimit { resource: 7, soft: Some(10), hard: Some(5) }];
        let error = Confined::new(Some(&Confine { rlimits, ..<_>::default() })).unwrap_err();
        assert!(error.hopeless && error.message.contains("nofile"), "{error:?}");
    }

    #[test]
    fn refusals_name_what_was_refused() {
        let rlimits = vec![Rlimit { resource: 8, soft: Some(10), hard: None }];
        let confine = Confine { rlimits, capabilities: Some(1 << 12 | 1), ..<_>::default() };
        let confined = Confined::new(Some(&confine)).unwrap();
        let start = Start { confine: Some(confine), ..<_>::default() };
        let says = |step| confined.explain(&start, Halt { step, errno: libc::EINVAL }).message;
        assert_eq!(says(Step::Rlimit(0)), "rlimits memlock 10:unlimited: Invalid argument");
        assert_eq!(says(Step::Capabilities), "capabilities [chown, net_admin]: Invalid argument");
        assert_eq!(says(Step::Isolate(libc::CLONE_NEWNET)), "isolate network: Invalid argument");
    }
}
