//! The terminal that a command was typed at: its size, and its raw mode while another program is at its other end.

use std::io;
use std::os::fd::AsFd;

use nix::sys::termios::{SetArg, SpecialCharacterIndices, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// Raw mode: every key goes to the other side, Ctrl-C too. Dropping it restores what was before, on every way out of a function; a
/// panic unwinds through it, and signals must be waited for by who holds it.
#[derive(Debug)]
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Makes the terminal of standard input raw.
    ///
    /// # Errors
    /// When it is none.
    pub fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        // A read gives what there is, and at least one byte.
        raw.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        raw.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        tcsetattr(stdin.as_fd(), SetArg::TCSADRAIN, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing restored.
        let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSADRAIN, &self.before);
    }
}

/// Returns rows and columns of the terminal of standard output, else of input; none where there is none or it does not say.
#[must_use]
pub fn size() -> Option<(u32, u32)> {
    let of = |fd: libc::c_int| {
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: writes a `winsize` of this frame.
        let result = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut size) };
        let is_known = result == 0 && size.ws_row > 0 && size.ws_col > 0;
        is_known.then(|| (size.ws_row.into(), size.ws_col.into()))
    };
    of(libc::STDOUT_FILENO).or_else(|| of(libc::STDIN_FILENO))
}
