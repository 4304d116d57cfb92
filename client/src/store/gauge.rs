//! How much room is left on the disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::retention::Space;

/// Where the figure comes from.
#[derive(Clone, Debug)]
pub enum Gauge {
    /// The file system of the data directory.
    Machine,
    /// A disk of 1 TiB with so much left, which tests set.
    Set(Arc<AtomicU64>),
}

impl Gauge {
    /// Looks; none when the system does not say. Blocks on the disk.
    #[must_use]
    pub fn read(&self, path: &Path) -> Option<Space> {
        match self {
            Self::Machine => {
                let found = rustix::fs::statvfs(path).ok()?;
                let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
                Some(Space { free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
            }
            Self::Set(free) => Some(Space { free: free.load(Ordering::Relaxed), total: 1 << 40 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_some_room_and_not_more_than_there_is() {
        let space = Gauge::Machine.read(Path::new("/")).expect("there is one");
        assert!(space.total > 0 && space.free <= space.total, "{space:?}");
        assert_eq!(Gauge::Machine.read(Path::new("/no/such/folder")), None);
    }
}
