//! What a task may use of the machine, and do to it.

use std::collections::BTreeMap;

/// What the kernel enforces on a task; none: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory; beyond them the kernel ends it (`oom`). A written `memory` is this limit, too.
    pub memory_bytes: Option<u64>,
    /// Thousandths of a core it gets at most.
    pub cpu_millis: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// What sets a task apart from the rest of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Limits of the kernel by their lower-case name (`nofile`, `core`), see [`RLIMITS`].
    pub rlimits: BTreeMap<String, Rlimit>,
    /// -20 to 19; none: the agent's own.
    pub nice: Option<i8>,
    /// -1000 to 1000; none: 0.
    pub oom_score_adj: Option<i16>,
    /// Capabilities by their lower-case name without `cap_`, see [`CAPABILITIES`]: exactly these. None: those of its user.
    pub capabilities: Option<Vec<String>>,
    /// Whether programs with a set-user-id bit or capabilities of their own may gain what the task has not.
    pub new_privileges: bool,
    /// Namespaces of its own.
    pub isolate: Isolate,
}

/// A soft and a hard limit; `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// What applies; a task may raise it up to `hard`.
    pub soft: Option<u64>,
    /// What `soft` may be raised to.
    pub hard: Option<u64>,
}

/// Which namespaces a task has to itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Isolate {
    /// It sees only its own processes and an init that reaps what they leave behind.
    pub pid: bool,
    /// Its own System V and POSIX message queues, semaphores and shared memory.
    pub ipc: bool,
    /// Its own mounts, with a `/tmp` of its own; implied by mounts of volumes.
    pub mount: bool,
    /// No network but a loopback of its own.
    pub network: bool,
}

/// The names of [`Confinement::rlimits`] with the numbers that Linux gives them (setrlimit(2)).
pub const RLIMITS: [(&str, u32); 16] = [
    ("cpu", 0),
    ("fsize", 1),
    ("data", 2),
    ("stack", 3),
    ("core", 4),
    ("rss", 5),
    ("nproc", 6),
    ("nofile", 7),
    ("memlock", 8),
    ("as", 9),
    ("locks", 10),
    ("sigpending", 11),
    ("msgqueue", 12),
    ("nice", 13),
    ("rtprio", 14),
    ("rttime", 15),
];

/// The names of [`Confinement::capabilities`]; the place in the list is the number (capabilities(7)).
pub const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];
