//! What runs tasks, as the task layer sees it.
//!
//! A driver starts an attempt once, reports its end until that is collected, and answers for what it still knows after the
//! agent was away. In reading order: this trait and its words, [`confine`] is what sets an attempt apart, [`ends`] keeps ends
//! until they are collected, [`process`] asks the keeper, [`mock`] plays a script, [`conformance`] is what every driver has
//! to pass.

pub mod confine;
pub mod conformance;
mod convert;
pub mod ends;
pub mod mock;
pub mod process;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use proto::ids::AllocId;

pub use proto::model::Limits;

pub use crate::logs::{Also as LogAlso, Policy as LogPolicy};
pub use confine::{Bind, Confine};
pub use ends::Ends;

/// A future that can be stored and sent.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Names one attempt to run one task of one allocation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId {
    /// The allocation.
    pub alloc: u64,
    /// The task's name within it.
    pub task: String,
    /// Counts the attempts of the task.
    pub attempt: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}#{}", AllocId(self.alloc), self.task, self.attempt)
    }
}

/// The identity a task runs as, looked up by the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserIds {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, complete.
    pub groups: Vec<u32>,
}

/// What is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartSpec {
    /// The attempt.
    pub id: AttemptId,
    /// A path, or a name looked up in the `PATH` of `env`.
    pub command: String,
    /// Arguments, without the program's name.
    pub args: Vec<String>,
    /// The whole environment; the driver may add variables that begin with `MINIJOB_`.
    pub env: Vec<(String, String)>,
    /// Working directory; the root without one.
    pub workdir: Option<PathBuf>,
    /// Identity; the driver's own without one.
    pub user: Option<UserIds>,
    /// Absolute directory of the log files.
    pub log_dir: PathBuf,
    /// How much output is kept.
    pub logs: LogPolicy,
    /// Where else it goes.
    pub logs_also: LogAlso,
    /// Signal for what outlives the main process.
    pub stop_signal: i32,
    /// Time that gets before it is killed.
    pub stop_timeout: Duration,
    /// Fence from the first instruction on, in ms of boot time.
    pub deadline_boot_ms: Option<u64>,
    /// How long before that it is told to stop.
    pub fence_grace: Duration,
    /// What the kernel enforces on all of its processes together. One that cannot be enforced fails the start.
    pub limits: Limits,
    /// What sets it apart from the machine.
    pub confine: Confine,
    /// What of the machine it finds elsewhere.
    pub binds: Vec<Bind>,
    /// Folders of its own: what it mounts may be put below them, and a `/tmp` of its own does not hide them.
    pub folders: Vec<PathBuf>,
}

impl StartSpec {
    /// Returns a spec with defaults: no arguments or variables, SIGTERM, 10 s, default logs, no fence, no limits, nothing apart.
    pub fn new(id: AttemptId, command: impl Into<String>, log_dir: impl Into<PathBuf>) -> StartSpec {
        StartSpec {
            id,
            command: command.into(),
            args: Vec::new(),
            env: Vec::new(),
            workdir: None,
            user: None,
            log_dir: log_dir.into(),
            logs: LogPolicy::default(),
            logs_also: LogAlso::default(),
            stop_signal: libc::SIGTERM,
            stop_timeout: Duration::from_secs(10),
            deadline_boot_ms: None,
            fence_grace: Duration::ZERO,
            limits: Limits::default(),
            confine: Confine::default(),
            binds: Vec::new(),
            folders: Vec::new(),
        }
    }
}

/// A started attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// Main process; what the driver calls so.
    pub pid: u32,
    /// Wall time in ms since 1970.
    pub started_at_ms: u64,
}

/// Why an attempt did not start. Nothing of it is remembered: the same start may be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StartFailure {
    /// What failed: `exec`, `workdir`, `user`, ...
    pub step: String,
    /// The system's error number.
    pub errno: Option<i32>,
    /// One line for people that names the step, its object and the reason.
    pub message: String,
    /// Whether the same start must fail again.
    pub hopeless: bool,
}

/// Nobody answered: the request may or may not have happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the driver is gone: {why}")]
pub struct Gone {
    /// What is known about it.
    pub why: String,
}

/// The driver understood and will not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// `unknown`, `running`, `invalid`, `full`, `leaving`.
    pub kind: String,
    /// One line for people.
    pub message: String,
}

/// Why the main process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndCause {
    /// It exited with this code.
    Exit(i32),
    /// A signal that was not our SIGKILL.
    Signal(i32),
    /// The kernel killed it for memory.
    Oom,
    /// Our SIGKILL, because a stop took too long.
    Killed,
    /// Its fence: told to stop shortly before the deadline, killed when it came.
    Lease,
    /// Nobody knows.
    Lost,
}

/// The end of an attempt: nothing of it runs any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The attempt.
    pub id: AttemptId,
    /// Why the main process ended.
    pub cause: EndCause,
    /// Whether a stop was asked for before that.
    pub stopped_by_us: bool,
    /// Wall time in ms since 1970.
    pub at_ms: u64,
    /// From start to end in ms, on a clock that does not jump.
    pub ran_ms: u64,
    /// The last output, at most 4 KiB.
    pub tail: String,
    /// Bytes of output that did not get where they should: a full disk, a slow journal.
    pub dropped_bytes: u64,
}

/// One attempt the driver knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The attempt.
    pub id: AttemptId,
    /// Its main process.
    pub pid: u32,
    /// Wall time of its start.
    pub started_at_ms: u64,
    /// What it does.
    pub state: KnownState,
}

/// What a known attempt does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownState {
    /// It runs; `stopping` when a stop was asked for.
    Running {
        /// Whether a stop was asked for.
        stopping: bool,
    },
    /// It has ended and was not collected. The tail may be missing here; the stream of ends has it.
    Ended(Box<Ended>),
}

/// What an attempt uses of the machine, all of its processes together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory in bytes without page cache that could be dropped; none: nobody tells. Where no group counts it is the sum of
    /// what is resident, in which shared pages count once per process.
    pub memory_bytes: Option<u64>,
    /// The most it ever was, page cache included where a group counts. Without a group: of the processes that live.
    pub memory_peak_bytes: Option<u64>,
    /// CPU time in µs since the start.
    pub cpu_us: Option<u64>,
    /// Processes that live; 0 after the end.
    pub processes: u32,
}

/// The answer of a request: the outer error says that nobody answered, the inner that the answer is no.
pub type Reply<T, E = Refused> = Result<Result<T, E>, Gone>;

/// Runs tasks. Every method may be repeated: it is idempotent per attempt.
pub trait Driver: Send + Sync {
    /// Starts an attempt. A second start of the same one answers like the first, also when it has ended, until it is
    /// collected; a start that failed leaves nothing.
    fn start(&self, spec: StartSpec) -> BoxFuture<'_, Reply<Started, StartFailure>>;

    /// Sends one signal to the main process and its group; an attempt that has ended is no error.
    fn signal(&self, id: AttemptId, signal: i32) -> BoxFuture<'_, Reply<()>>;

    /// Sends `signal` and, `timeout` later, SIGKILL to all that is left, whether the agent lives or not. Answers at once; the
    /// end comes by itself. A second stop can only shorten the time.
    fn stop(&self, id: AttemptId, signal: i32, timeout: Duration) -> BoxFuture<'_, Reply<()>>;

    /// Lists what the driver holds: running, and ended but not collected.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Known>, Gone>>;

    /// Subscribes to ends: first all that are not collected, then each new one. An end may come more than once.
    fn ends(&self) -> Ends;

    /// Lets the driver forget an ended attempt. One that is not known is fine; one that runs is refused.
    fn collect(&self, id: AttemptId) -> BoxFuture<'_, Reply<()>>;

    /// Arms, moves or (`None`) removes the fence: at this boot time in ms all of the attempt is killed.
    fn set_deadline(&self, id: AttemptId, boot_ms: Option<u64>) -> BoxFuture<'_, Reply<()>>;

    /// Looks at what an attempt uses now. Measured when asked for, and not before; one that has ended answers with its last.
    fn stats(&self, id: AttemptId) -> BoxFuture<'_, Reply<Usage>>;
}
