//! How long work is meant to run, and how often.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long a group is meant to run, and whether `count` times or once on every node that is right for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobType {
    /// For ever: exit 0 is restarted too.
    Service,
    /// Until exit 0.
    Batch,
    /// For ever, one on every node that is right for it.
    System,
    /// Until exit 0, once on every node that is right for it.
    SysBatch,
}

impl JobType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Service, Self::Batch, Self::System, Self::SysBatch];

    /// Returns whether the work is over when it exits with 0.
    #[must_use]
    pub const fn has_an_end(self) -> bool {
        matches!(self, Self::Batch | Self::SysBatch)
    }

    /// Returns whether there is one for every node that is right for it, instead of a count.
    #[must_use]
    pub const fn is_per_node(self) -> bool {
        matches!(self, Self::System | Self::SysBatch)
    }

    /// Returns the word of job files and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Batch => "batch",
            Self::System => "system",
            Self::SysBatch => "sysbatch",
        }
    }
}

impl fmt::Display for JobType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
