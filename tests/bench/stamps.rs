//! The pipe on which measured tasks say when they began.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use nix::sys::stat::{Mode, umask};

/// Bytes of one stamp; fewer than a pipe writes at once.
const BYTES: usize = 16;
/// Stamps on their way to the reader: more than any benchmark starts at once.
const QUEUED: usize = 100_000;

/// When a process ran its first instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// CLOCK_MONOTONIC, which all processes of a machine share.
    pub(crate) at_ns: u64,
    /// Which process.
    pub(crate) pid: u32,
}

/// The reading end.
pub(crate) struct Stamps {
    path: PathBuf,
    heard: Receiver<Stamp>,
}

impl Stamps {
    /// Makes the pipe. A thread reads it for the rest of the program's life, so that no task ever waits for a reader.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let path = dir.join(name);
        let before = umask(Mode::empty());
        nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o666)).expect("a fresh name");
        umask(before);
        // Open for writing too: without a writer a pipe would be at its end.
        let pipe = File::options().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(&path);
        let pipe = pipe.expect("just made");
        let (tell, heard) = sync_channel(QUEUED);
        std::thread::spawn(move || read(pipe, &tell));
        Self { path, heard }
    }

    /// Where tasks write.
    pub(crate) fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Waits for the next stamp.
    ///
    /// # Errors
    /// When none comes in time.
    pub(crate) fn next(&self, at_most: Duration) -> Result<Stamp, String> {
        self.heard.recv_timeout(at_most).map_err(|_| format!("no task began within {at_most:?}"))
    }

    /// Waits until each of some processes has begun, whatever else may begin meanwhile, and returns when the last did.
    ///
    /// # Errors
    /// When one of them does not begin in time.
    pub(crate) fn last_of(&self, pids: &[u32], at_most: Duration) -> Result<u64, String> {
        let mut missing: std::collections::BTreeSet<u32> = pids.iter().copied().collect();
        let mut last = 0;
        while !missing.is_empty() {
            let stamp = self.next(at_most)?;
            if missing.remove(&stamp.pid) {
                last = last.max(stamp.at_ns);
            }
        }
        Ok(last)
    }

    /// Waits for that many stamps, and returns them as they came.
    ///
    /// # Errors
    /// When one of them does not come in time.
    pub(crate) fn take(&self, count: usize, at_most: Duration) -> Result<Vec<Stamp>, String> {
        let taken: Result<Vec<Stamp>, String> = (0..count).map(|_| self.next(at_most)).collect();
        taken.map_err(|error| format!("of {count} tasks: {error}"))
    }

    /// Returns what has come and nobody has waited for.
    pub(crate) fn drain(&self) -> Vec<Stamp> {
        self.heard.try_iter().collect()
    }
}

fn read(mut pipe: File, tell: &SyncSender<Stamp>) {
    let mut bytes = [0; BYTES];
    while pipe.read_exact(&mut bytes).is_ok() {
        let number = |from: usize, to: usize| {
            bytes[from..to].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let stamp = Stamp { at_ns: number(0, 8), pid: number(8, 12) as u32 };
        if tell.send(stamp).is_err() {
            return;
        }
    }
}
