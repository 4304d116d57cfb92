//! What the first process of a machine or container owes it: whoever lost its parent is reaped here.
//!
//! What tasks leave behind goes to the keeper's guard, a subreaper. Process 1 gets the rest: what `docker exec` and its like
//! leave, and the guard itself.

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

/// Reaps for as long as the runtime lives if this process is number 1; else it does nothing. Must be called within a runtime, in
/// a process that has no children of its own to wait for.
///
/// # Errors
/// When the kernel refuses a handler.
pub fn reap_if_first() -> std::io::Result<()> {
    if std::process::id() != 1 {
        return Ok(());
    }
    let mut children = signal(SignalKind::child())?;
    tokio::spawn(async move {
        loop {
            // Also before the first signal: some may have ended before anybody listened.
            reap();
            if children.recv().await.is_none() {
                return;
            }
        }
    });
    Ok(())
}

/// Takes all ends that are there; several may have come with one signal.
fn reap() {
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
            Ok(status) => tracing::debug!(?status, "an orphan has ended"),
            Err(Errno::EINTR) => {}
            Err(errno) => return tracing::warn!(%errno, "cannot reap orphans"),
        }
    }
}
