//! Bytes to and from a command, over a pipe or a terminal, without a thread that waits for them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches a descriptor. Only in a runtime.
///
/// # Errors
/// When the kernel cannot watch it.
pub fn watched(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: it is owned by what is returned, stays open as long, and is not replaced in it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}

/// One way to or from a command.
#[derive(Debug)]
pub struct Wire {
    fd: AsyncFd<OwnedFd>,
}

impl Wire {
    /// Takes over one end. Only in a runtime.
    ///
    /// # Errors
    /// When the kernel cannot watch it.
    pub(super) fn new(fd: OwnedFd, interest: Interest) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self { fd: watched(fd, interest)? })
    }

    /// Reads what is there, waiting for the first of it; 0 at the end. Cancel safe.
    ///
    /// # Errors
    /// Those of read(2), but for the one by which a terminal says that nobody has it open any more: that is the end.
    pub async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.fd.readable().await?;
            match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut *into)?)) {
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Ok(0),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(outcome) => return outcome,
                Err(_not_yet) => {}
            }
        }
    }

    /// Writes all of it, waiting for room.
    ///
    /// # Errors
    /// Those of write(2): a broken pipe when the command has closed its end.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.fd.writable().await?;
            match ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
                Ok(Ok(written)) => bytes = &bytes[written..],
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Err(_not_yet) => {}
            }
        }
        Ok(())
    }

    /// Changes the size of the terminal that this is an end of; its foreground programs are told by SIGWINCH. Of a pipe it means nothing.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let _ = rustix::termios::tcsetwinsize(self.fd.get_ref().as_fd(), size);
    }
}
