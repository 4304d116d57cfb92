//! Starts a command on a thread of its own.
//!
//! The thread is needed thrice: a namespace of processes is entered by a thread for the children that it makes; the kernel ends a
//! child with the thread that made it (so a command does not outlive the agent); and somebody has to wait for the end without reaping,
//! because a number that is reaped may be another's when its session is killed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use nix::sched::{CloneFlags, setns};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::io::Interest;
use tokio::sync::oneshot;

use super::enter::{Entry, Step};
use super::hang_up::{hang_up, kill_session};
use super::place::Place;
use super::wire::Wire;
use crate::limits::EXEC_HANG_UP;

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The program, and its arguments.
    pub argv: Vec<String>,
    /// Whether it gets a pipe to read from; without one and without a terminal there is nothing to read.
    pub stdin: bool,
    /// Rows and columns of a terminal of its own.
    pub terminal: Option<(u16, u16)>,
}

/// Why a command did not begin.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Its program could not be executed.
    #[error("cannot run `{program}`: {source}")]
    Exec {
        /// Which.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The task's surroundings could not be entered.
    #[error("cannot {what}: {source}")]
    Enter {
        /// Which part.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl SpawnError {
    /// What a shell would end with: 127 when there is no such program, 126 when it cannot be run; 0 when it did not come to that.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Exec { .. } => 126,
            Self::Enter { .. } => 0,
        }
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Code(u32),
    /// This signal ended it.
    Signal(u32),
    /// Nobody knows.
    Unknown,
}

/// A command that runs. Dropping it hangs it up, and kills it [`EXEC_HANG_UP`] later.
#[derive(Debug)]
pub struct Running {
    stdin: Option<Wire>,
    stdout: Wire,
    stderr: Option<Wire>,
    ended: oneshot::Receiver<Ended>,
    /// Says that it may be reaped, by being dropped.
    hold: Option<mpsc::Sender<()>>,
    pid: u32,
}

/// The ways to and from a command.
#[derive(Debug)]
pub struct Wires<'a> {
    /// To it, if it reads; taking it away ends its input. Of a terminal it is there in any case, because it has the size.
    pub stdin: &'a mut Option<Wire>,
    /// From it.
    pub stdout: &'a Wire,
    /// Apart from that only without a terminal.
    pub stderr: Option<&'a Wire>,
    /// How it ended, when it has.
    pub ended: &'a mut oneshot::Receiver<Ended>,
}

/// Our ends of what a command has as its standard streams.
struct Ends {
    stdin: Option<OwnedFd>,
    stdout: OwnedFd,
    stderr: Option<OwnedFd>,
}

/// Starts a command in a place, and returns when it executes.
///
/// # Errors
/// See [`SpawnError`]; nothing of it is left then.
pub async fn spawn(spec: Spec, place: Place) -> Result<Running, SpawnError> {
    let own = |source| SpawnError::Enter { what: "make a process", source };
    let (began, begun) = oneshot::channel();
    let (ended_in, ended) = oneshot::channel();
    let (hold, held) = mpsc::channel();
    let thread = std::thread::Builder::new().name("exec".into());
    let run = move || match start(&spec, place) {
        Ok((child, ends)) => wait(child, ends, began, ended_in, &held),
        Err(error) => drop(began.send(Err(error))),
    };
    thread.spawn(run).map_err(own)?;
    let gone = || own(io::Error::other("a defect of the agent: its thread ended"));
    let (pid, ends) = begun.await.map_err(|_| gone())??;
    let read = |fd| Wire::new(fd, Interest::READABLE).map_err(own);
    Ok(Running {
        stdin: ends.stdin.map(|fd| Wire::new(fd, Interest::WRITABLE)).transpose().map_err(own)?,
        stdout: read(ends.stdout)?,
        stderr: ends.stderr.map(read).transpose()?,
        ended,
        hold: Some(hold),
        pid,
    })
}

impl Running {
    /// Returns the ways to and from it, and its end.
    pub fn wires(&mut self) -> Wires<'_> {
        let (stdin, stderr) = (&mut self.stdin, self.stderr.as_ref());
        Wires { stdin, stdout: &self.stdout, stderr, ended: &mut self.ended }
    }

    /// Returns its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets go of one that has ended: what it left behind goes on with the task.
    pub fn release(mut self) {
        self.hold = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(hold) = self.hold.take() else { return };
        let pid = self.pid;
        hang_up(pid);
        // The thread that waits keeps the number until `hold` goes, which is after the last use of it here.
        let end = move || {
            std::thread::sleep(EXEC_HANG_UP);
            kill_session(pid);
            drop(hold);
        };
        if std::thread::Builder::new().name("hang-up".into()).spawn(end).is_err() {
            kill_session(pid);
        }
    }
}

type Began = oneshot::Sender<Result<(u32, Ends), SpawnError>>;

/// Waits for the end without reaping, says it, and reaps once nobody needs the number any more.
fn wait(
    mut child: Child,
    ends: Ends,
    began: Began,
    ended: oneshot::Sender<Ended>,
    held: &mpsc::Receiver<()>,
) {
    let pid = child.id();
    // Who asked may have gone; then `held` is gone too, and what just began is killed.
    let is_wanted = began.send(Ok((pid, ends))).is_ok();
    if !is_wanted {
        kill_session(pid);
    }
    let end = loop {
        match waitid(Id::Pid(Pid::from_raw(pid as i32)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Err(nix::errno::Errno::EINTR) => {}
            Ok(WaitStatus::Exited(_, code)) => break Ended::Code(code.unsigned_abs()),
            Ok(WaitStatus::Signaled(_, signal, _)) => break Ended::Signal((signal as i32).unsigned_abs()),
            Ok(_) | Err(_) => break Ended::Unknown,
        }
    };
    // Nothing is ever sent: the error says that the other side has gone.
    ended.send(end).ok();
    held.recv().ok();
    child.wait().ok();
}

fn start(spec: &Spec, place: Place) -> Result<(Child, Ends), SpawnError> {
    let fail = |what| move |source: io::Error| SpawnError::Enter { what, source };
    if let Some(namespace) = &place.pid_namespace {
        // Of this thread's children alone.
        let entered = setns(namespace, CloneFlags::CLONE_NEWPID).map_err(io::Error::from);
        entered.map_err(fail("enter the task's pid namespace"))?;
    }
    let (heard, said) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK)
            .map_err(|errno| fail("make a pipe")(errno.into()))?;
    let (program, args) =
        spec.argv.split_first().ok_or_else(|| fail("run it")(io::ErrorKind::InvalidInput.into()))?;
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(place.env.iter().map(|(name, value)| (name, value)));
    let streams = match spec.terminal {
        Some(size) => terminal(&mut command, size, &place),
        None => pipes(&mut command, spec.stdin),
    };
    let ends = streams.map_err(fail("make its standard streams"))?;
    let seen = candidates(&place, program);
    let entry = Entry::new(place, spec.terminal.is_some(), said);
    // SAFETY: `enter` makes system calls only, on what was made before the child exists.
    unsafe { command.pre_exec(move || entry.enter()) };
    let spawned = command.spawn();
    // Our copies of its ends go with this, so that the end of its output is seen.
    drop(command);
    match spawned {
        Ok(child) => Ok((child, ends)),
        Err(source) => Err(explain(heard.as_fd(), program, &seen, source)),
    }
}

fn explain(
    heard: std::os::fd::BorrowedFd<'_>,
    program: &str,
    seen: &[PathBuf],
    source: io::Error,
) -> SpawnError {
    let mut number = [0u8];
    let step = match rustix::io::read(heard, &mut number) {
        Ok(1) => Step::from_number(number[0]),
        _ => None,
    };
    match step {
        Some(step) => SpawnError::Enter { what: step.words(), source },
        None => {
            // A directory of the PATH that the user may not search hides that the program is in none of them.
            let is_hidden = source.kind() == io::ErrorKind::PermissionDenied;
            let is_nowhere = is_hidden && !seen.is_empty() && !seen.iter().any(|path| path.exists());
            let source = if is_nowhere { io::Error::from_raw_os_error(libc::ENOENT) } else { source };
            SpawnError::Exec { program: program.to_owned(), source }
        }
    }
}

/// Where a program without a slash may be, as the agent sees the task's file system; nothing for one with a slash.
fn candidates(place: &Place, program: &str) -> Vec<PathBuf> {
    let path = place.env.iter().find(|(name, _)| name == "PATH").filter(|_| !program.contains('/'));
    let folders =
        path.into_iter().flat_map(|(_, path)| path.split(':')).filter(|folder| folder.starts_with('/'));
    folders.map(|folder| PathBuf::from(format!("/proc/{}/root{folder}/{program}", place.pid))).collect()
}

fn pipes(command: &mut Command, has_stdin: bool) -> io::Result<Ends> {
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let (stdout, stdout_in) = pipe()?;
    let (stderr, stderr_in) = pipe()?;
    command.stdout(stdout_in).stderr(stderr_in);
    let stdin = if has_stdin {
        let (stdin_out, stdin) = pipe()?;
        command.stdin(stdin_out);
        Some(stdin)
    } else {
        command.stdin(Stdio::null());
        None
    };
    Ok(Ends { stdin, stdout, stderr: Some(stderr) })
}

fn terminal(command: &mut Command, (rows, columns): (u16, u16), place: &Place) -> io::Result<Ends> {
    let size = nix::pty::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pair = nix::pty::openpty(Some(&size), None)?;
    // openpty(3) knows no such flag: a command that another thread starts meanwhile must not hold this terminal open.
    for fd in [&pair.master, &pair.slave] {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    }
    if nix::unistd::geteuid().is_root() {
        // Programs open `/dev/tty` and `/proc/self/fd/0` by name, as who they are.
        nix::unistd::fchown(&pair.slave, Some(nix::unistd::Uid::from_raw(place.user.uid)), None)?;
    }
    command.stdin(pair.slave.try_clone()?).stdout(pair.slave.try_clone()?).stderr(pair.slave);
    Ok(Ends { stdin: Some(pair.master.try_clone()?), stdout: pair.master, stderr: None })
}

#[cfg(test)]
mod tests;
