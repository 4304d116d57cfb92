//! What a node has and an allocation takes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An amount of CPU and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory_bytes: u64,
}

impl Resources {
    /// Returns the sum, at most the largest number there is.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
        }
    }

    /// Returns the difference, or nothing where any dimension would go below zero.
    #[must_use]
    pub const fn minus(self, other: Self) -> Option<Self> {
        match (
            self.cpu_millis.checked_sub(other.cpu_millis),
            self.memory_bytes.checked_sub(other.memory_bytes),
        ) {
            (Some(cpu_millis), Some(memory_bytes)) => Some(Self { cpu_millis, memory_bytes }),
            _ => None,
        }
    }

    /// Returns the larger amount of each.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.max(other.cpu_millis),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
        }
    }

    /// Returns whether this much fits into `room`.
    #[must_use]
    pub const fn fits(self, room: Self) -> bool {
        room.minus(self).is_some()
    }
}
