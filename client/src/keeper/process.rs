//! Small services for the processes that this module forks: signals, standard streams, limits, names.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

use super::spawn::Origin;
use crate::limits::KEEPER_LOG_BYTES_MAX;

/// The open-file limit a keeper asks for when it may: four descriptors per attempt and room.
const FILES_WANTED: u64 = 1 << 18;

/// Blocks all signals and returns the set of `read` ones, for a signalfd.
pub(super) fn block_all_signals<const N: usize>(read: [Signal; N]) -> SigSet {
    // It fails only for an invalid `how`.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
    read.into_iter().collect()
}

/// Ends this process without running anything of the agent it was forked from.
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: ends the process; buffers and destructors of the parent's copy must not run here.
    unsafe { libc::_exit(code) }
}

/// Writes one line to the keeper's log; a full disk costs the line.
pub(super) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{} [{}] {line}", super::clock::wall_ms(), std::process::id());
}

/// Counts this process' threads.
pub(super) fn threads() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}

/// Detaches from terminal, directory and standard streams; standard error goes to `log`.
pub(super) fn detach(log: &Path) -> io::Result<()> {
    nix::unistd::setsid()?;
    nix::unistd::chdir("/")?;
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let long = fs::metadata(log).is_ok_and(|meta| meta.len() > KEEPER_LOG_BYTES_MAX);
    if long {
        fs::remove_file(log)?;
    }
    let log = fs::OpenOptions::new().create(true).append(true).open(log);
    let error = log.as_ref().map_or(null.as_raw_fd(), |log| log.as_raw_fd());
    for (target, source) in [(0, null.as_raw_fd()), (1, null.as_raw_fd()), (2, error)] {
        // SAFETY: the numbers 0 to 2 are replaced on purpose.
        if unsafe { libc::dup2(source, target) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Closes every descriptor above 2 except `kept`.
pub(super) fn close_all_but(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let open: Vec<RawFd> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open {
        if fd > 2 && !kept.iter().any(|kept| kept.as_raw_fd() == fd) {
            // SAFETY: this process was forked for one purpose; whoever owned the descriptor in it never runs again.
            unsafe { libc::close(fd) };
        }
    }
    Ok(())
}

/// Returns what a task gets back, as this process has it before [`take_protection`].
pub(super) fn origin() -> Origin {
    let mut nofile = libc::rlimit { rlim_cur: 1024, rlim_max: 4096 };
    // SAFETY: `nofile` is a valid rlimit.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut nofile) };
    let text = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    // An agent may be protected, its tasks are not with it.
    let oom_score = text.trim().parse().unwrap_or(0).max(0i32);
    Origin { nofile, oom_score: oom_score.to_string() }
}

/// Returns how many descriptors this process may have.
pub(super) fn files_max() -> usize {
    nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .map_or(1024, |(soft, _)| soft as usize)
}

/// Takes the guard's own protection and limits as far as permitted.
pub(super) fn take_protection(origin: &Origin) {
    // Without permission (not root) the keeper is as mortal as anybody.
    let _ = fs::write("/proc/self/oom_score_adj", "-900");
    let most = origin.nofile.rlim_max;
    for hard in [most.max(FILES_WANTED), most] {
        let wanted = libc::rlimit { rlim_cur: hard, rlim_max: hard };
        // SAFETY: `wanted` is a valid rlimit.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &wanted) } == 0 {
            break;
        }
    }
}

/// Names the program this process runs, so that a keeper of an older one can be told from our own.
pub(super) fn image() -> String {
    use std::os::unix::fs::MetadataExt;
    let version = env!("CARGO_PKG_VERSION");
    match fs::metadata("/proc/self/exe") {
        Ok(file) => format!("{version} {}:{}:{}.{}", file.dev(), file.ino(), file.mtime(), file.mtime_nsec()),
        Err(_) => version.into(),
    }
}

/// Renames this process for `ps`, `top` and whoever kills agents by their command line.
pub(super) fn rename(name: &std::ffi::CStr) {
    let _ = nix::sys::prctl::set_name(name);
    if let Some((start, length)) = argument_area() {
        let bytes = name.to_bytes();
        let used = bytes.len().min(length.saturating_sub(1));
        // SAFETY: the kernel names this writable area of the stack; nobody reads the arguments in this process.
        unsafe {
            std::ptr::write_bytes(start as *mut u8, 0, length);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), start as *mut u8, used);
        }
    }
}

/// Returns address and length of this process' argument strings (fields 48 and 49 of its stat).
fn argument_area() -> Option<(usize, usize)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let (start, end): (usize, usize) = (fields.get(45)?.parse().ok()?, fields.get(46)?.parse().ok()?);
    (start != 0 && end > start).then(|| (start, end - start))
}
