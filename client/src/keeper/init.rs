//! The init of a pid namespace: a process that only reaps.
//!
//! A task in a pid namespace of its own is still the guard's child, born into the namespace beside an init that was made
//! just before it. So its pid, its signals and its status are those of any other task, and nothing is forwarded or translated. What it
//! leaves behind becomes the init's child. When nothing else of the attempt lives the keeper kills the init; whenever
//! the init dies the kernel kills all that is left in the namespace.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, Signal};

use super::process;
use super::tree;

/// The init of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Init {
    /// Its process as the keeper sees it.
    pub(super) pid: u32,
    /// Number of the namespace: unlike a pid it is not given to another one while this lives.
    pub(super) namespace: u64,
}

/// A namespace that the next child of this process is born into. Dropping it makes children be born where they used to be.
pub(super) struct Nursery {
    own: File,
    init: Init,
    /// Where the init waits for [`Nursery::adopt`]; when it is closed before that, the init leaves.
    line: UnixStream,
}

impl Nursery {
    /// Makes a namespace and its init, which joins the control groups with these `cgroup.procs`.
    pub(super) fn new<'a>(groups: impl Iterator<Item = &'a File>) -> io::Result<Nursery> {
        let own = File::open("/proc/self/ns/pid")?;
        let (line, theirs) = UnixStream::pair()?;
        unshare(CloneFlags::CLONE_NEWPID)?;
        let born = fork_sibling();
        if let Ok(0) = born {
            drop(line);
            serve(theirs, groups)
        }
        drop(theirs);
        // From here on errors must not leave the next children in the wrong place, which dropping sees to.
        let init = Init { pid: 0, namespace: 0 };
        let mut nursery = Nursery { own, init, line };
        nursery.init.pid = born?;
        let mut ready = [0u8];
        nursery.line.read_exact(&mut ready).map_err(|_| io::Error::other("its init did not start"))?;
        nursery.init.namespace =
            namespace_of(nursery.init.pid).ok_or_else(|| io::Error::other("its init is gone"))?;
        Ok(nursery)
    }

    /// Returns the init.
    pub(super) fn init(&self) -> Init {
        self.init
    }

    /// Lets the init live on without this process; to be called when somebody else knows it.
    pub(super) fn adopt(&mut self) {
        // An init that is gone makes the birth fail.
        let _ = self.line.write_all(&[1]);
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        if setns(&self.own, CloneFlags::CLONE_NEWPID).is_err() {
            // Every child from now on would be born into the wrong namespace. The next keeper is not.
            process::note("the keeper cannot return to its pid namespace and leaves its place to another");
            process::exit(101)
        }
    }
}

impl Init {
    /// Whether it lives.
    pub(super) fn is_alive(self) -> bool {
        self.pid != 0 && namespace_of(self.pid) == Some(self.namespace)
    }

    /// Kills it, and with it all that is left in its namespace.
    pub(super) fn kill(self) {
        if self.is_alive() {
            tree::signal(self.pid, libc::SIGKILL);
        }
    }
}

/// The number of the namespace of a process that lives. A zombie has none any more.
fn namespace_of(pid: u32) -> Option<u64> {
    Some(fs::metadata(format!("/proc/{pid}/ns/pid")).ok()?.ino())
}

/// Forks a child of this process' parent; 0 in the child. This process has one thread.
fn fork_sibling() -> io::Result<u32> {
    // SAFETY: without a stack and without shared memory this is fork(2); all registers behind the flags are zero, so their
    // order does not matter. The exit signal is that of this process.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_PARENT, 0, 0, 0, 0) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid as u32) }
}

/// The life of an init.
fn serve<'a>(mut line: UnixStream, mut groups: impl Iterator<Item = &'a File>) -> ! {
    process::rename(c"minijob init");
    // Its memory began as the keeper's, and its neighbours are strangers.
    let _ = nix::sys::prctl::set_dumpable(false);
    let joined = groups.try_for_each(|mut group| group.write_all(b"0"));
    let ready =
        joined.and_then(|()| process::close_all_but(&[line.as_fd()])).and_then(|()| line.write_all(&[1]));
    let mut known = [0u8];
    if ready.and_then(|()| line.read_exact(&mut known)).is_err() {
        process::exit(1)
    }
    drop(line);
    // Blocked, as all are: the kernel keeps it until it is waited for.
    let children: SigSet = [Signal::SIGCHLD].into_iter().collect();
    loop {
        // SAFETY: nobody wants to know the status.
        while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
        let _ = children.wait();
    }
}
