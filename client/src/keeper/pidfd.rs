//! Handles of processes that are not our children.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Opens the process `pid`; `None` when it does not exist.
pub(super) fn open(pid: u32) -> Option<OwnedFd> {
    // SAFETY: a system call on numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    // SAFETY: the kernel has just made this descriptor for us alone; it is closed on exec by itself.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Returns the wait status of a process that has ended, [`super::guard::STATUS_LOST`] when the kernel does not tell, and
/// `None` while it lives.
pub(super) fn ended(pidfd: &OwnedFd) -> Option<i32> {
    let ready = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).ok()? > 0;
    ready.then(|| exit_status(pidfd).unwrap_or(super::guard::STATUS_LOST))
}

/// Asks for the status of a process somebody else reaped (`PIDFD_GET_INFO` with `PIDFD_INFO_EXIT`, Linux 6.15).
fn exit_status(pidfd: &OwnedFd) -> Option<i32> {
    /// `struct pidfd_info` of the kernel in its first version.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroupid: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    const INFO_EXIT: u64 = 1 << 3;
    // _IOWR(0xFF, 11, struct pidfd_info)
    const GET_INFO: u64 = 3 << 30 | (size_of::<Info>() as u64) << 16 | 0xff << 8 | 11;
    let mut info = Info { mask: INFO_EXIT, ..Info::default() };
    // SAFETY: `info` is writable and of the size that the request names.
    let failed = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO as _, &mut info) } != 0;
    (!failed && info.mask & INFO_EXIT != 0).then_some(info.exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_process_is_seen_and_its_status_where_the_kernel_tells() {
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "read x; exit 7"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pidfd = open(child.id()).unwrap();
        assert_eq!(ended(&pidfd), None);
        drop(child.stdin.take());
        child.wait().unwrap();
        let status = ended(&pidfd).unwrap();
        assert!(status == 7 << 8 || status == super::super::guard::STATUS_LOST, "status {status:x}");
        assert!(open(child.id()).is_none());
    }
}
