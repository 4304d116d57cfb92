//! One placed instance of a group: what servers want of it and what its agent saw.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::AllocId;
use crate::signals;
use crate::time::Timestamp;

/// What servers want; written by servers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    /// It should run.
    Run,
    /// It should end.
    Stop(StopReason),
}

/// Why servers want an allocation to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// A person stopped the job.
    JobStopped,
    /// The job wants fewer.
    ScaledDown,
    /// A newer version takes its place.
    Replaced,
    /// Its node was lost and came back after a replacement had been placed.
    NodeLost,
    /// A person asked for a restart of it.
    Restarted,
    /// It runs once on every node that is right for it, and its node is not any more.
    NodeUnsuitable,
    /// Work of higher priority needs its room.
    Preempted,
    /// Its node is drained.
    Drained,
    /// What it was to replace stays: it was not healthy in time, or that node is drained no more.
    NotMoved,
}

/// What the agent saw, in the only order in which it may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AllocState {
    /// Placed; the agent has not begun.
    Pending,
    /// Directories, files.
    Preparing,
    /// At least one main task has not started yet.
    Starting,
    /// Its main tasks have started; a task between two tries counts as running.
    Running,
    /// Told to end.
    Stopping,
    /// Ended: every main task exited 0.
    Complete,
    /// Ended: a main task has failed for good.
    Failed,
    /// Ended because servers wanted it.
    Stopped,
}

impl AllocState {
    /// Returns whether nothing of it runs any more and nothing will.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Stopped)
    }

    /// Returns its word, as documents, metrics and sentences have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Preparing => "preparing",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Returns whether an allocation in this state may be reported in `next`: forward only, and an end is final.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        !self.has_ended() && next >= self
    }
}

/// Why a try of a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// It exited with this code.
    Exit(i32),
    /// A signal ended it that was not ours.
    Signal(i32),
    /// The kernel killed it for memory.
    Oom,
    /// We stopped it, with or without SIGKILL.
    Stopped,
    /// It ran longer than it may.
    Timeout,
    /// It could not be started.
    StartFailed {
        /// What was being done: `exec`, `chdir`, `user`.
        step: String,
        /// The kernel's number, 0 when there is none.
        errno: i32,
        /// The sentence for people; names the program.
        message: String,
    },
    /// Its checks failed for too long.
    CheckFailed,
    /// Its fence ended it: its node could not reach the servers in time.
    Lease,
    /// Whoever ran it is gone and nobody knows how it ended.
    EngineGone,
}

impl EndReason {
    /// Returns whether the task did what it was meant to do.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Exit(0))
    }

    /// The word for it, as in JSON and metrics.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Exit(_) => "exit",
            Self::Signal(_) => "signal",
            Self::Oom => "oom",
            Self::Stopped => "stopped",
            Self::Timeout => "timeout",
            Self::StartFailed { .. } => "start_failed",
            Self::CheckFailed => "check_failed",
            Self::Lease => "lease",
            Self::EngineGone => "engine_gone",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "killed by signal {number}{}", signal_name(*number)),
            Self::Oom => f.write_str("killed by the kernel: out of memory"),
            Self::Stopped => f.write_str("stopped"),
            Self::Timeout => f.write_str("ran longer than max_run"),
            Self::StartFailed { message, .. } => write!(f, "could not start: {message}"),
            Self::CheckFailed => f.write_str("its checks failed"),
            Self::Lease => f.write_str("fenced: its node could not reach the servers in time"),
            Self::EngineGone => f.write_str("ended while nobody watched"),
        }
    }
}

/// Returns the name of a signal in brackets; of one that has none, nothing.
fn signal_name(number: i32) -> String {
    let name = signals::show(number);
    if name.starts_with("SIG") { format!(" ({name})") } else { String::new() }
}

/// How one try ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskEnd {
    /// Why.
    pub reason: EndReason,
    /// When, by the node's clock.
    pub at: Timestamp,
    /// How long it had run.
    #[serde(rename = "ran_ms", with = "as_millis")]
    #[schemars(with = "u64")]
    pub ran: Duration,
    /// Its last lines of output when it failed, at most 4 KiB.
    pub tail: String,
}

/// Where a task is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskPhase {
    /// Its turn has not come.
    Waiting,
    /// Being started.
    Starting,
    /// Runs.
    Running,
    /// Ended, and starts again then (by the node's clock).
    Backoff(Timestamp),
    /// Being stopped.
    Stopping,
    /// Ended for good; `last_end` says how.
    Ended,
}

impl TaskPhase {
    /// The word for it, as in JSON and tables.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Backoff(_) => "backoff",
            Self::Stopping => "stopping",
            Self::Ended => "ended",
        }
    }
}

/// What the agent saw of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// Its name in the group.
    pub name: String,
    /// Where it is.
    pub phase: TaskPhase,
    /// Starts so far; 1 is the first.
    pub attempt: u32,
    /// The try of this window and how many the window allows (none: for ever): "try 2 of 4".
    pub window_try: u32,
    /// See `window_try`.
    pub window_tries: Option<u32>,
    /// Its process while it runs, else 0.
    pub pid: u32,
    /// When the present or last try started.
    pub started_at: Option<Timestamp>,
    /// How the last try ended.
    pub last_end: Option<TaskEnd>,
}

/// What the agent saw of one allocation: the latest of it replaces all before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocStatus {
    /// Which.
    pub id: AllocId,
    /// Grows with every change that the agent saw during one registration of its node.
    pub seq: u64,
    /// Where it is.
    pub state: AllocState,
    /// Its tasks, in the order of their names.
    pub tasks: Vec<TaskStatus>,
}

mod as_millis {
    use super::{Deserialize, Duration};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(crate::time::millis(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observed_state_moves_forward_only_and_an_end_is_final() {
        assert!(AllocState::Pending.may_become(AllocState::Running));
        assert!(
            AllocState::Running.may_become(AllocState::Running),
            "a restart changes its tasks, not its state"
        );
        assert!(!AllocState::Running.may_become(AllocState::Starting));
        assert!(!AllocState::Complete.may_become(AllocState::Failed));
        assert!(!AllocState::Failed.may_become(AllocState::Failed));
    }

    #[test]
    fn four_ends_read_differently() {
        let shown: Vec<String> =
            [EndReason::Signal(9), EndReason::Oom, EndReason::Stopped, EndReason::Timeout]
                .iter()
                .map(ToString::to_string)
                .collect();
        assert_eq!(shown[0], "killed by signal 9 (SIGKILL)");
        assert_eq!(EndReason::Signal(10).to_string(), "killed by signal 10 (SIGUSR1)");
        assert_eq!(EndReason::Signal(40).to_string(), "killed by signal 40", "it has no name");
        assert_eq!(shown.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    }
}
