//! What is seen of a task by reaching it, not by its reports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::AllocId;

/// A signal that was sent to the main process of a task and its group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Signalled {
    /// The allocation.
    pub alloc: AllocId,
    /// Its task.
    pub task: String,
    /// The signal's name; its number where it has none.
    pub signal: String,
}

/// What the processes of a running task use together, measured when it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskUsage {
    /// Memory without page cache that could be dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The most it ever was, page cache included where a control group counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_peak_bytes: Option<u64>,
    /// CPU time since the start of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Processes that live.
    pub processes: u32,
}
