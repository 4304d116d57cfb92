//! What a task finds on disk.

/// Where the data of a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Which place of the node.
    pub source: VolumeSource,
    /// Whether nobody may write to it.
    pub read_only: bool,
}

/// A place of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeSource {
    /// The one that the agent declares under this name.
    Host(String),
    /// This absolute path, where the agent allows it.
    Path(String),
}

/// A volume as a task sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The volume's name in the group.
    pub volume: String,
    /// The absolute path at which the task finds it.
    pub to: String,
    /// Whether this task may not write to it.
    pub read_only: bool,
}

/// A file that travels with the job.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskFile {
    /// Where, relative to the task's directory.
    pub to: String,
    /// What is in it.
    pub content: bytes::Bytes,
    /// Permission bits, at most 0o777.
    pub mode: u32,
}

impl std::fmt::Debug for TaskFile {
    /// Leaves out the content: it may be a secret, and is long.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "TaskFile({}, {} bytes, {:o})", self.to, self.content.len(), self.mode)
    }
}

impl TaskFile {
    /// 0644.
    pub const DEFAULT_MODE: u32 = 0o644;
}

/// An environment file of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEnvFile {
    /// Its absolute path.
    pub path: String,
    /// Whether the task starts without it, too.
    pub optional: bool,
}
