//! What is remembered of an attempt beyond the keeper that serves it: by the guard, and in the journal.

use super::init::Init;
use super::message::{Also, Cause, Ended, Id, Usage, User};

/// What guard and journal keep of an attempt, so that the next keeper can go on with it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// The attempt.
    #[prost(message, required, tag = "1")]
    pub id: Id,
    /// The keeper's own number of it; names its control group and is never reused.
    #[prost(uint64, tag = "2")]
    pub slot: u64,
    /// Main process; 0 until it is known.
    #[prost(uint32, tag = "3")]
    pub pid: u32,
    /// Whether `exec` succeeded.
    #[prost(bool, tag = "4")]
    pub confirmed: bool,
    /// Wall time of the start.
    #[prost(uint64, tag = "5")]
    pub started_wall_ms: u64,
    /// Boot time of the start.
    #[prost(uint64, tag = "6")]
    pub started_boot_ms: u64,
    /// Directory of the log files.
    #[prost(string, tag = "7")]
    pub log_dir: String,
    /// Log files kept per stream.
    #[prost(uint32, tag = "8")]
    pub log_files: u32,
    /// Size of one log file.
    #[prost(uint64, tag = "9")]
    pub log_file_bytes: u64,
    /// Signal for leftovers.
    #[prost(int32, tag = "10")]
    pub stop_signal: i32,
    /// Time for leftovers.
    #[prost(uint64, tag = "11")]
    pub stop_timeout_ms: u64,
    /// Fence in boot time, 0 for none.
    #[prost(uint64, tag = "12")]
    pub deadline_boot_ms: u64,
    /// Whether a stop was asked for.
    #[prost(bool, tag = "13")]
    pub stopping: bool,
    /// When SIGKILL is due, in boot time; 0 for never.
    #[prost(uint64, tag = "14")]
    pub kill_at_boot_ms: u64,
    /// Set when our SIGKILL went out: why.
    #[prost(enumeration = "Cause", optional, tag = "15")]
    pub killed: Option<i32>,
    /// The main process' wait status, once reaped.
    #[prost(int32, optional, tag = "16")]
    pub wait_status: Option<i32>,
    /// The end.
    #[prost(message, optional, tag = "17")]
    pub ended: Option<Ended>,
    /// Whether its guard has died, so that nobody here is its parent.
    #[prost(bool, tag = "18")]
    pub foreign: bool,
    /// The init of its pid namespace; 0 without one.
    #[prost(uint32, tag = "19")]
    pub init_pid: u32,
    /// Number of that namespace.
    #[prost(uint64, tag = "20")]
    pub init_namespace: u64,
    /// What it had used when that was last asked for, or at its end.
    #[prost(message, optional, boxed, tag = "21")]
    pub used: Option<Box<Usage>>,
    /// How long before the fence's deadline it is told to stop.
    #[prost(uint64, tag = "22")]
    pub fence_grace_ms: u64,
    /// Whether it was told to stop by its fence: from then on that cannot be moved.
    #[prost(bool, tag = "23")]
    pub fenced: bool,
    /// Where output goes beside the log files.
    #[prost(message, optional, tag = "30")]
    pub also: Option<Also>,
    /// With whose rights; the keeper's own without.
    #[prost(message, optional, tag = "31")]
    pub user: Option<User>,
}

impl Record {
    /// Returns the init of its pid namespace while that lives.
    pub(super) fn init(&self) -> Option<Init> {
        let init = Init { pid: self.init_pid, namespace: self.init_namespace };
        init.is_alive().then_some(init)
    }
}
