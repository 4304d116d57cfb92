//! Starts a program: everything is prepared in the keeper, the child only makes system calls.
//!
//! The child, in this order: own session; control groups (v1); oom score; its pid to the guard; stdio; umask 022; namespaces
//! and mounts; limits; capabilities, groups, gid, uid, no new privileges; working directory; signals; descriptors closed; exec.
//! What a job asks for of that is in `confine` and `mounts`.
//! The environment is exactly the given one plus the mark by which a tree is found where no control group holds it.

use std::ffi::{CString, c_char, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::clone::{Born, Stack};
use super::confine::{Confined, Halt, Step, check, must_be_root};
use super::link::{HEAD_BYTES, KIND_PID};
use super::message::{Start, StartFailed, User};

/// The variable that marks every process of an attempt: `KEEPER.SLOT`.
pub(super) const MARK: &str = "MINIJOB_MARK";

const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the agent's process had and a task gets back.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// Limits of open files, soft and hard.
    pub(super) nofile: libc::rlimit,
    /// Contents of `oom_score_adj`.
    pub(super) oom_score: String,
}

/// The descriptors a child needs.
#[derive(Debug)]
pub(super) struct Wires<'a> {
    pub(super) stdin: BorrowedFd<'a>,
    pub(super) stdout: BorrowedFd<'a>,
    pub(super) stderr: BorrowedFd<'a>,
    pub(super) link: BorrowedFd<'a>,
    /// Directory of a v2 control group to be born into.
    pub(super) cgroup_dir: Option<BorrowedFd<'a>>,
    /// `cgroup.procs` to write to where it was not born into its group.
    pub(super) cgroup_procs: Option<BorrowedFd<'a>>,
    /// `cgroup.procs` to write to in any case.
    pub(super) cgroup_others: &'a [File],
}

/// The child's view: raw pointers into [`Prepared`], and where it leaves its error.
struct Child {
    programs: *const *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    workdir: *const c_char,
    stdio: [RawFd; 3],
    link: RawFd,
    cgroup_procs: RawFd,
    join_cgroup: bool,
    cgroup_others: *const [File],
    pid_message: [u8; HEAD_BYTES + 4],
    oom_score: *const u8,
    oom_score_bytes: usize,
    nofile: libc::rlimit,
    user: *const User,
    is_root: bool,
    confined: *mut Confined,
    halt: Halt,
}

/// A start with every string in the form the kernel wants.
#[derive(Debug)]
pub(super) struct Prepared {
    programs: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    workdir: CString,
    confined: Confined,
}

impl Prepared {
    /// Prepares `start`, whose processes will carry `mark`.
    ///
    /// # Errors
    /// When a string holds a NUL, or the command is empty.
    pub(super) fn new(start: &Start, mark: &str) -> Result<Prepared, StartFailed> {
        if start.command.is_empty() {
            return Err(failed("exec", libc::ENOENT, "exec: the command is empty"));
        }
        let mut argv = vec![text("args", &start.command)?];
        for argument in &start.args {
            argv.push(text("args", argument)?);
        }
        let mut env = Vec::with_capacity(start.env.len() + 1);
        for variable in &start.env {
            env.push(text("env", &format!("{}={}", variable.name, variable.value))?);
        }
        env.push(text("env", &format!("{MARK}={mark}"))?);
        let workdir = if start.workdir.is_empty() { "/" } else { &start.workdir };
        let programs = candidates(start).iter().map(|path| text("args", path)).collect::<Result<_, _>>()?;
        let confined = Confined::new(start.confine.as_ref())?;
        Ok(Prepared { programs, argv, env, workdir: text("workdir", workdir)?, confined })
    }

    /// Whether it is to be born into a pid namespace of its own.
    pub(super) fn wants_init(&self) -> bool {
        self.confined.pid
    }

    /// Starts it and returns its pid once it runs the program.
    ///
    /// # Errors
    /// Says which step failed; the child has ended by then and will be reaped by the guard.
    pub(super) fn run(
        &mut self,
        start: &Start,
        slot: u64,
        wires: &Wires<'_>,
        origin: &Origin,
        stack: &mut Stack,
    ) -> Result<u32, StartFailed> {
        let (programs, argv, envp) = (pointers(&self.programs), pointers(&self.argv), pointers(&self.env));
        let mut pid_message = [0u8; HEAD_BYTES + 4];
        pid_message[0] = KIND_PID;
        pid_message[1..HEAD_BYTES].copy_from_slice(&slot.to_le_bytes());
        let user = other_user(start);
        let mut child = Child {
            programs: programs.as_ptr(),
            argv: argv.as_ptr(),
            envp: envp.as_ptr(),
            workdir: self.workdir.as_ptr(),
            stdio: [wires.stdin.as_raw_fd(), wires.stdout.as_raw_fd(), wires.stderr.as_raw_fd()],
            link: wires.link.as_raw_fd(),
            cgroup_procs: wires.cgroup_procs.map_or(-1, |fd| fd.as_raw_fd()),
            join_cgroup: wires.cgroup_dir.is_none(),
            cgroup_others: wires.cgroup_others,
            pid_message,
            oom_score: origin.oom_score.as_ptr(),
            oom_score_bytes: origin.oom_score.len(),
            nofile: origin.nofile,
            user: user.map_or(std::ptr::null(), std::ptr::from_ref),
            is_root: user.map_or_else(|| nix::unistd::geteuid().is_root(), |user| user.uid == 0),
            confined: &raw mut self.confined,
            halt: Halt { step: Step::None, errno: 0 },
        };
        let shared = &raw mut child;
        let dir = wires.cgroup_dir.map(|fd| fd.as_raw_fd());
        // SAFETY: `child` and all it points to outlive the call; the keeper has one thread and blocks all signals.
        let born = unsafe { stack.run(in_child, shared.cast(), dir, || (*shared).join_cgroup = true) };
        // SAFETY: the child has executed or ended, so nobody else writes to it; the reads must see its writes.
        let halt = unsafe { (&raw const (*shared).halt).read_volatile() };
        match born {
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(0);
                Err(failed("fork", errno, &format!("fork: {}", describe(errno))))
            }
            Ok(Born { pid, .. }) if halt.step == Step::None => Ok(pid),
            Ok(_) => Err(self.explain(start, halt)),
        }
    }

    fn explain(&self, start: &Start, halt: Halt) -> StartFailed {
        let Halt { step, errno } = halt;
        let what = describe(errno);
        match step {
            Step::Exec => {
                let program = if self.programs.len() == 1 {
                    self.programs[0].to_string_lossy().into_owned()
                } else {
                    format!("{} (searched in PATH)", start.command)
                };
                failed("exec", errno, &format!("exec {program}: {what}"))
            }
            Step::Workdir => {
                failed("workdir", errno, &format!("workdir {}: {what}", self.workdir.to_string_lossy()))
            }
            Step::User => {
                let user = start.user.clone().unwrap_or_default();
                let text = format!("user {}:{}: {what}{}", user.uid, user.gid, must_be_root(errno));
                failed("user", errno, &text)
            }
            Step::Cgroup => failed("cgroup", errno, &format!("cgroup: {what}")),
            Step::Stdio => failed("stdio", errno, &format!("stdio: {what}")),
            Step::Link | Step::None => failed("guard", errno, &format!("guard: {what}")),
            _ => self.confined.explain(start, halt),
        }
    }
}

/// Makes a failure; whether it is hopeless follows from the error number.
pub(super) fn failed(step: &str, errno: i32, message: &str) -> StartFailed {
    // Whatever a full machine, a busy file or a sick disk causes may pass; the rest is in the job or in its program.
    let passing = [
        libc::EAGAIN,
        libc::ENOMEM,
        libc::EMFILE,
        libc::ENFILE,
        libc::ETXTBSY,
        libc::EIO,
        libc::ENOSPC,
        libc::EDQUOT,
        libc::ESTALE,
        libc::EBUSY,
        libc::EINTR,
    ];
    let hopeless = !passing.contains(&errno) && !matches!(step, "guard" | "stdio" | "cgroup" | "fork");
    StartFailed { step: step.into(), errno, message: message.into(), hopeless }
}

/// Returns whom to become; a keeper that is not root may be asked to stay who it is, and could not even set that.
fn other_user(start: &Start) -> Option<&User> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    start.user.as_ref().filter(|user| uid.is_root() || user.uid != uid.as_raw() || user.gid != gid.as_raw())
}

fn describe(errno: i32) -> String {
    nix::errno::Errno::from_raw(errno).desc().to_owned()
}

fn text(step: &str, value: &str) -> Result<CString, StartFailed> {
    CString::new(value).map_err(|_| failed(step, libc::EINVAL, &format!("{step}: {value:?} holds a NUL")))
}

/// Where the program may be: the path itself when it has a slash, else each directory of the given `PATH`.
fn candidates(start: &Start) -> Vec<String> {
    if start.command.contains('/') {
        return vec![start.command.clone()];
    }
    let given =
        start.env.iter().rev().find(|variable| variable.name == "PATH").map(|found| found.value.as_str());
    let join = |dir: &str| {
        if dir.is_empty() { format!("./{}", start.command) } else { format!("{dir}/{}", start.command) }
    };
    given.unwrap_or(PATH_DEFAULT).split(':').map(join).collect()
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Runs in the child, on the keeper's memory: system calls only, no allocation, no panic, no return.
extern "C" fn in_child(argument: *mut c_void) -> i32 {
    // SAFETY: `run` passes a Child that outlives this process' use of it; the parent is suspended meanwhile.
    let child = unsafe { &mut *argument.cast::<Child>() };
    // SAFETY: system calls on pointers that `Prepared` and `run` keep valid.
    unsafe {
        let halt = enter(child).err().unwrap_or_else(|| execute(child));
        // Written last: the parent reads it to learn whether there is an error at all.
        (&raw mut child.halt).write_volatile(halt);
        libc::_exit(127)
    }
}

unsafe fn enter(child: &mut Child) -> Result<(), Halt> {
    // SAFETY: as in `in_child`.
    unsafe {
        let confined = &mut *child.confined;
        libc::setsid();
        if child.join_cgroup && child.cgroup_procs >= 0 {
            join_group(child.cgroup_procs)?;
        }
        for group in &*child.cgroup_others {
            join_group(group.as_raw_fd())?;
        }
        confined.set_oom_score((child.oom_score, child.oom_score_bytes))?;
        let pid = if confined.pid { pid_outside()? } else { libc::getpid() as u32 };
        child.pid_message[HEAD_BYTES..].copy_from_slice(&pid.to_le_bytes());
        let (bytes, length) = (child.pid_message.as_ptr().cast(), child.pid_message.len());
        check(libc::send(child.link, bytes, length, libc::MSG_NOSIGNAL) as i64, Step::Link)?;
        for (target, source) in (0..).zip(child.stdio) {
            check(libc::dup2(source, target).into(), Step::Stdio)?;
        }
        // Before the mounts: what is made for them is passed by the task's user, who is not the keeper's.
        libc::umask(0o022);
        confined.isolate()?;
        libc::setrlimit(libc::RLIMIT_NOFILE, &child.nofile);
        confined.limit()?;
        confined.take_identity(child.user.as_ref(), child.is_root)?;
        check(libc::chdir(child.workdir).into(), Step::Workdir)?;
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        // The plain call again: libc refuses to touch 32 and 33, which an odd parent may have left ignored. All zeros is
        // the kernel's SIG_DFL without flags or mask.
        let default = [0usize; 4];
        for signal in 1..=64 {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null::<usize>(),
                8usize,
            );
        }
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        // Where the kernel is older than 5.9, CLOEXEC on everything the keeper opens has to do.
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32);
    }
    Ok(())
}

unsafe fn join_group(procs: RawFd) -> Result<(), Halt> {
    // SAFETY: a system call on a text that outlives it.
    check(unsafe { libc::write(procs, c"0".as_ptr().cast(), 1) } as i64, Step::Cgroup)
}

/// Returns the child's own pid as the keeper sees it, from the `/proc` that both still share.
unsafe fn pid_outside() -> Result<u32, Halt> {
    let mut text = [0u8; 16];
    // SAFETY: the buffer is as long as is told.
    let length = unsafe { libc::readlink(c"/proc/self".as_ptr(), text.as_mut_ptr().cast(), text.len()) };
    check(length as i64, Step::Proc)?;
    let digits = text.iter().take(length as usize).filter(|byte| byte.is_ascii_digit());
    Ok(digits.fold(0u32, |pid, digit| pid.wrapping_mul(10).wrapping_add(u32::from(digit - b'0'))))
}

unsafe fn execute(child: &mut Child) -> Halt {
    let mut remembered = libc::ENOENT;
    let mut program = child.programs;
    // SAFETY: `programs` ends with a null pointer.
    unsafe {
        while !(*program).is_null() {
            libc::execve(*program, child.argv, child.envp);
            match *libc::__errno_location() {
                // Like execvp: go on, but a file that is there and may not be run is the better answer.
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => remembered = libc::EACCES,
                errno => {
                    remembered = errno;
                    break;
                }
            }
            program = program.add(1);
        }
    }
    Halt { step: Step::Exec, errno: remembered }
}

/// Opens `/dev/null` for reading, the standard input of every task.
pub(super) fn open_null() -> io::Result<std::fs::File> {
    std::fs::File::open("/dev/null")
}
