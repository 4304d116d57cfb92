//! How much of some nodes together is in use.

use std::ops::{AddAssign, SubAssign};

use super::page::Row;

/// What nodes that take new work have, and what of it is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Thousandths of cores.
    pub cpu_used: u128,
    /// See `cpu_used`.
    pub cpu_all: u128,
    /// Bytes.
    pub memory_used: u128,
    /// See `memory_used`.
    pub memory_all: u128,
}

impl Load {
    /// Returns that of one node: nothing where it takes no new work.
    pub(super) fn of(row: &Row) -> Self {
        if !row.open {
            return Self::default();
        }
        let used = |share: super::Share| u128::from(share.all - share.free.min(share.all));
        Self {
            cpu_used: used(row.cpu_millis),
            cpu_all: row.cpu_millis.all.into(),
            memory_used: used(row.memory_bytes),
            memory_all: row.memory_bytes.all.into(),
        }
    }

    /// Returns how much of the cpu is in use, in thousandths; of nothing, nothing is.
    #[must_use]
    pub fn cpu_permille(&self) -> u64 {
        permille(self.cpu_used, self.cpu_all)
    }

    /// Returns the same of memory.
    #[must_use]
    pub fn memory_permille(&self) -> u64 {
        permille(self.memory_used, self.memory_all)
    }
}

fn permille(used: u128, all: u128) -> u64 {
    (used * 1000).checked_div(all).unwrap_or(0) as u64
}

impl AddAssign for Load {
    fn add_assign(&mut self, more: Self) {
        self.cpu_used += more.cpu_used;
        self.cpu_all += more.cpu_all;
        self.memory_used += more.memory_used;
        self.memory_all += more.memory_all;
    }
}

impl SubAssign for Load {
    fn sub_assign(&mut self, less: Self) {
        self.cpu_used -= less.cpu_used;
        self.cpu_all -= less.cpu_all;
        self.memory_used -= less.memory_used;
        self.memory_all -= less.memory_all;
    }
}
