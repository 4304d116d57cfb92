//! One program of a group, and all that it is given.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Confinement, Limits, Mount, NodeEnvFile, Resources, TaskFile};

/// One program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// What runs.
    pub process: Process,
    /// Its environment, before the node's own facts are added.
    pub env: BTreeMap<String, String>,
    /// What it takes from the node.
    pub resources: Resources,
    /// Sent first when it must stop; its number.
    pub stop_signal: i32,
    /// After that SIGKILL for the whole tree.
    pub stop_timeout: Duration,
    /// What is kept of its output.
    pub logs: LogPolicy,
    /// When it runs, beside its siblings.
    pub lifecycle: Lifecycle,
    /// When it has ended for good its siblings are stopped, and the allocation ends as it did.
    pub critical: bool,
    /// What the kernel enforces.
    pub limits: Limits,
    /// Files that travel with the job and are written before each start.
    pub files: Vec<TaskFile>,
    /// Environment files of the node, read before each start; `env` wins over them, a later one over an earlier.
    pub env_files: Vec<NodeEnvFile>,
    /// Volumes of its group that it sees.
    pub mounts: Vec<Mount>,
    /// What it may do to the machine.
    pub confinement: Confinement,
}

/// A plain program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// An absolute path, or a name looked up in PATH.
    pub command: String,
    /// Its arguments, without the program's name.
    pub args: Vec<String>,
    /// The user it runs as, `USER` or `USER:GROUP`, names or numbers; none: the agent's default user.
    pub user: Option<String>,
    /// Where it starts; none: the task's own directory.
    pub workdir: Option<String>,
}

/// How much output is kept, per stream, and where else it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPolicy {
    /// Files, 1 to 1000.
    pub max_files: u32,
    /// Bytes of one file, at least 4 KiB.
    pub max_file_bytes: u64,
    /// How long they are kept after the end of the allocation, unless the disk needs the room.
    pub retain: Duration,
    /// Both streams are also appended to this file of the node.
    pub file: Option<String>,
    /// Both streams also go to the node's journal.
    pub journald: bool,
}

impl Task {
    /// Returns a task that runs a program with all defaults.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            process: Process { command: command.into(), args: Vec::new(), user: None, workdir: None },
            env: BTreeMap::new(),
            resources: Self::DEFAULT_RESOURCES,
            stop_signal: Self::DEFAULT_STOP_SIGNAL,
            stop_timeout: Self::DEFAULT_STOP_TIMEOUT,
            logs: LogPolicy::default(),
            lifecycle: Lifecycle::default(),
            critical: false,
            limits: Limits::default(),
            files: Vec::new(),
            env_files: Vec::new(),
            mounts: Vec::new(),
            confinement: Confinement::default(),
        }
    }

    /// What a task reserves whose file says nothing: 50m and 32 MiB.
    pub const DEFAULT_RESOURCES: Resources = Resources { cpu_millis: 50, memory_bytes: 32 << 20 };
    /// SIGTERM.
    pub const DEFAULT_STOP_SIGNAL: i32 = 15;
    /// 5 s.
    pub const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(5);
}

impl LogPolicy {
    /// How long output is kept after the end when the file says nothing: 24 h.
    pub const DEFAULT_RETAIN: Duration = Duration::from_secs(24 * 3600);
}

impl Default for LogPolicy {
    /// Ten files of 10 MiB for 24 h, and nowhere else.
    fn default() -> Self {
        let retain = Self::DEFAULT_RETAIN;
        Self { max_files: 10, max_file_bytes: 10 << 20, retain, file: None, journald: false }
    }
}

/// When a task runs, beside its siblings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lifecycle {
    /// With the other main tasks; they decide how the allocation ends.
    #[default]
    Main,
    /// Before the main tasks: it must succeed before they start. A sidecar only has to have started, and lives alongside.
    Prestart {
        /// Whether it lives alongside.
        sidecar: bool,
    },
    /// After the main tasks have started; a sidecar lives alongside.
    Poststart {
        /// Whether it lives alongside.
        sidecar: bool,
    },
    /// After the main tasks have ended, also when they failed or were stopped.
    Poststop,
}

impl Lifecycle {
    /// Returns whether it lives as long as the main tasks do and is stopped after them.
    #[must_use]
    pub const fn is_sidecar(self) -> bool {
        matches!(self, Self::Prestart { sidecar: true } | Self::Poststart { sidecar: true })
    }
}
