//! A disk that is full, and one that is slow.
//!
//! Full is a small disk in memory under the server's data. Slow is each sync of the server taking longer, by a preloaded library: it is
//! the syncs that a slow disk makes everybody wait for, and neither a delaying block device nor a throttled one can be had everywhere.

use std::path::PathBuf;
use std::time::Duration;

use tests::disk::Disk;
use tests::shim;

use crate::machine::Machine;

/// How long each sync of a server takes in addition; may be changed at any time.
pub(crate) struct SlowSyncs(PathBuf);

impl SlowSyncs {
    /// Prepares a machine, before anything runs on it.
    pub(crate) fn prepare(machine: &mut Machine) -> Self {
        let library = shim::build("support/slow_sync.c", machine.dir()).expect("a C compiler");
        let file = machine.dir().join("slow");
        shim::tell(&file, &0u32.to_ne_bytes());
        let variables = [("LD_PRELOAD", &library), ("SLOW_SYNC_FILE", &file)];
        let variables = variables.map(|(name, path)| (name.to_owned(), path.display().to_string()));
        machine.environment.extend(variables);
        Self(file)
    }

    /// From now on each takes this much longer.
    pub(crate) fn take(&self, longer: Duration) {
        shim::tell(&self.0, &(longer.as_micros() as u32).to_ne_bytes());
    }
}

/// Gives a machine's server a disk of so many bytes, before it has begun.
pub(crate) fn small(machine: &Machine, bytes: u64) -> Disk {
    Disk::mount(&machine.server_dir(), bytes)
}
