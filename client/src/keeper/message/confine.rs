//! The part of a start that says how it is confined.

/// How an attempt is confined.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Confine {
    /// Limit of memory in bytes.
    #[prost(uint64, optional, tag = "1")]
    pub memory_bytes: Option<u64>,
    /// Limit of CPU in thousandths of a core.
    #[prost(uint64, optional, tag = "2")]
    pub cpu_millis: Option<u64>,
    /// Limit of processes and threads.
    #[prost(uint32, optional, tag = "3")]
    pub pids: Option<u32>,
    /// Limits of the kernel.
    #[prost(message, repeated, tag = "4")]
    pub rlimits: Vec<Rlimit>,
    /// Niceness.
    #[prost(sint32, optional, tag = "5")]
    pub nice: Option<i32>,
    /// The kernel's inclination to kill it.
    #[prost(sint32, optional, tag = "6")]
    pub oom_score_adj: Option<i32>,
    /// Exactly these capabilities, bit by number.
    #[prost(uint64, optional, tag = "7")]
    pub capabilities: Option<u64>,
    /// Whether programs may gain privileges.
    #[prost(bool, tag = "8")]
    pub new_privileges: bool,
    /// A pid namespace of its own.
    #[prost(bool, tag = "9")]
    pub pid: bool,
    /// An IPC namespace of its own.
    #[prost(bool, tag = "10")]
    pub ipc: bool,
    /// A mount namespace of its own, with its own `/tmp`.
    #[prost(bool, tag = "11")]
    pub mount: bool,
    /// A network namespace of its own, with a loopback.
    #[prost(bool, tag = "12")]
    pub network: bool,
    /// What it finds elsewhere; implies `mount`.
    #[prost(message, repeated, tag = "13")]
    pub binds: Vec<Bind>,
    /// Absolute directories of its own.
    #[prost(string, repeated, tag = "14")]
    pub folders: Vec<String>,
}

/// One limit of the kernel; a missing number is unlimited.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Rlimit {
    /// The resource's number.
    #[prost(uint32, tag = "1")]
    pub resource: u32,
    /// What applies.
    #[prost(uint64, optional, tag = "2")]
    pub soft: Option<u64>,
    /// What it may be raised to.
    #[prost(uint64, optional, tag = "3")]
    pub hard: Option<u64>,
}

/// One bind mount.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Bind {
    /// Absolute path outside.
    #[prost(string, tag = "1")]
    pub source: String,
    /// Absolute path inside.
    #[prost(string, tag = "2")]
    pub target: String,
    /// Whether it may not be written to.
    #[prost(bool, tag = "3")]
    pub read_only: bool,
}

impl Confine {
    /// Whether it has mounts of its own, and a `/tmp` with them.
    pub fn has_own_mounts(&self) -> bool {
        self.mount || !self.binds.is_empty()
    }

    /// Whether an older keeper would leave out something that was asked for. That new privileges are not forbidden there
    /// is how every attempt was started before.
    pub fn asks_for_anything(&self) -> bool {
        *self
            != Confine {
                folders: self.folders.clone(),
                new_privileges: self.new_privileges,
                ..<_>::default()
            }
    }
}
