//! Ends a command whose caller has gone: SIGHUP to what it is about, then SIGKILL to all of its session.

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getsid};

/// Sends SIGHUP to the command's own group. A terminal that is closed does the same to what is in its foreground.
///
/// The command must not have been reaped: its number names its group and its session only until then.
pub(super) fn hang_up(leader: u32) {
    // It may have ended.
    let _ = killpg(pid(leader), Signal::SIGHUP);
}

/// Sends SIGKILL to every process of the command's session, whatever group a shell has put it in. See [`hang_up`].
pub(super) fn kill_session(leader: u32) {
    let leader = pid(leader);
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw));
    for member in pids.filter(|one| getsid(Some(*one)) == Ok(leader)) {
        let _ = kill(member, Signal::SIGKILL);
    }
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number as i32)
}
