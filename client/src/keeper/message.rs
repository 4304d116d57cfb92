//! What agent and keeper say to each other.
//!
//! Every frame from the agent is an [`Request`], every frame to it an [`Answer`]; `seq` 0 in an answer means that it
//! was not asked for (an end). Fields are only ever added; a change of meaning raises [`VERSION`].

pub mod confine;

pub use confine::{Bind, Confine, Rlimit};

/// The version of the protocol this program speaks.
pub const VERSION: u32 = 2;

/// Since this version a keeper confines what it starts. One before it ignores [`Start::confine`], so nothing that asks
/// for more than the defaults may be sent to it.
pub const VERSION_CONFINES: u32 = 2;

/// The oldest version of the protocol this program still understands, on either side.
pub const VERSION_OLDEST: u32 = 1;

/// Names one attempt to run one task of one allocation.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Message)]
pub struct Id {
    /// The allocation.
    #[prost(uint64, tag = "1")]
    pub alloc: u64,
    /// The task's name within the allocation.
    #[prost(string, tag = "2")]
    pub task: String,
    /// Counts the attempts of the task, so that a start can be repeated safely.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
}

/// One frame from the agent.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// Chosen by the agent, not 0; the answer carries it back.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// What is asked for.
    #[prost(oneof = "Ask", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub ask: Option<Ask>,
}

/// What an agent can ask for.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Ask {
    /// The first request of every connection.
    #[prost(message, tag = "2")]
    Hello(Hello),
    /// Starts an attempt, once.
    #[prost(message, boxed, tag = "3")]
    Start(Box<Start>),
    /// Sends one signal.
    #[prost(message, tag = "4")]
    Signal(Signal),
    /// Stops an attempt, by force when the timeout passes.
    #[prost(message, tag = "5")]
    Stop(Stop),
    /// Lists attempts.
    #[prost(message, tag = "6")]
    List(List),
    /// Forgets an ended attempt.
    #[prost(message, tag = "7")]
    Collect(Collect),
    /// Arms, renews or removes the fence of an attempt.
    #[prost(message, tag = "8")]
    SetDeadline(SetDeadline),
    /// Asks an idle keeper to leave.
    #[prost(message, tag = "9")]
    Leave(Leave),
    /// Measures an attempt.
    #[prost(message, tag = "10")]
    Stats(Stats),
}

/// Opens a connection.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hello {
    /// The newest version the agent speaks.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// Whether ends shall be pushed on this connection: all that are not collected, then each new one.
    #[prost(bool, tag = "2")]
    pub watch: bool,
}

/// One environment variable.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Variable {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// The identity a task runs as; without it the keeper's own.
#[derive(Clone, PartialEq, prost::Message)]
pub struct User {
    /// User id.
    #[prost(uint32, tag = "1")]
    pub uid: u32,
    /// Group id.
    #[prost(uint32, tag = "2")]
    pub gid: u32,
    /// Supplementary groups, complete.
    #[prost(uint32, repeated, tag = "3")]
    pub groups: Vec<u32>,
}

/// What is to be started.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Start {
    /// The attempt; a second start of the same one starts nothing.
    #[prost(message, required, tag = "1")]
    pub id: Id,
    /// A path, or a name looked up in the `PATH` of `env`.
    #[prost(string, tag = "2")]
    pub command: String,
    /// The arguments, without the program's name.
    #[prost(string, repeated, tag = "3")]
    pub args: Vec<String>,
    /// The whole environment; nothing is inherited, one mark is added (see `spawn`).
    #[prost(message, repeated, tag = "4")]
    pub env: Vec<Variable>,
    /// Working directory, `/` when empty.
    #[prost(string, tag = "5")]
    pub workdir: String,
    /// Identity to take.
    #[prost(message, optional, tag = "6")]
    pub user: Option<User>,
    /// Directory of the log files; made when it is missing.
    #[prost(string, tag = "7")]
    pub log_dir: String,
    /// Log files kept per stream, at least 1.
    #[prost(uint32, tag = "8")]
    pub log_files: u32,
    /// Size of one log file in bytes, at least 4 KiB.
    #[prost(uint64, tag = "9")]
    pub log_file_bytes: u64,
    /// Signal for processes that outlive the main process, and at the end of `dev`.
    #[prost(int32, tag = "10")]
    pub stop_signal: i32,
    /// Time they get before SIGKILL, in milliseconds.
    #[prost(uint64, tag = "11")]
    pub stop_timeout_ms: u64,
    /// Fence armed before the first instruction, in ms of boot time; 0 is none.
    #[prost(uint64, tag = "12")]
    pub deadline_boot_ms: u64,
    /// How long before the deadline of its fence it is told to stop, in milliseconds. A keeper that does not know it only kills.
    #[prost(uint64, tag = "31")]
    pub fence_grace_ms: u64,
    /// How it is confined; missing in what agents of protocol 1 send, which confine nothing.
    #[prost(message, optional, tag = "13")]
    pub confine: Option<Confine>,
    /// Where output goes beside the log files. A keeper that does not know it leaves it out.
    #[prost(message, optional, tag = "30")]
    pub also: Option<Also>,
}

/// Where output goes beside the log files.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Also {
    /// A file that it is appended to, with the rights of the task's user; none when empty.
    #[prost(string, tag = "1")]
    pub file: String,
    /// Its identifier in the journal; not sent there when empty.
    #[prost(string, tag = "2")]
    pub journal: String,
}

/// Sends one signal to the main process.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Signal {
    /// The attempt.
    #[prost(message, required, tag = "1")]
    pub id: Id,
    /// Signal number.
    #[prost(int32, tag = "2")]
    pub signal: i32,
}

/// Stops an attempt.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Stop {
    /// The attempt.
    #[prost(message, required, tag = "1")]
    pub id: Id,
    /// Signal number sent first.
    #[prost(int32, tag = "2")]
    pub signal: i32,
    /// Milliseconds until SIGKILL of the whole tree; a second stop can only bring it nearer.
    #[prost(uint64, tag = "3")]
    pub timeout_ms: u64,
}

/// Asks for one page of attempts in the order of their slots.
#[derive(Clone, PartialEq, prost::Message)]
pub struct List {
    /// Only slots greater than this.
    #[prost(uint64, tag = "1")]
    pub after: u64,
}

/// Forgets an ended attempt.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Collect {
    /// The attempt.
    #[prost(message, required, tag = "1")]
    pub id: Id,
}

/// Sets the fence of an attempt.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SetDeadline {
    /// The attempt.
    #[prost(message, required, tag = "1")]
    pub id: Id,
    /// Boot time in ms at which the tree is killed; 0 removes the fence.
    #[prost(uint64, tag = "2")]
    pub boot_ms: u64,
}

/// Asks the keeper to leave; refused while it holds anything.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Leave {}

/// Asks what an attempt uses.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Stats {
    /// The attempt.
    #[prost(message, required, tag = "1")]
    pub id: Id,
}

/// One frame to the agent.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Answer {
    /// The request's number, 0 for an event.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// The answer.
    #[prost(oneof = "Say", tags = "2, 3, 4, 5, 6, 7, 8, 9")]
    pub say: Option<Say>,
}

/// What the keeper can answer.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Say {
    /// To a hello.
    #[prost(message, tag = "2")]
    Welcome(Welcome),
    /// The attempt runs, or has run.
    #[prost(message, tag = "3")]
    Started(Started),
    /// The attempt could not be started; nothing of it is remembered.
    #[prost(message, tag = "4")]
    StartFailed(StartFailed),
    /// Done, or nothing to do.
    #[prost(message, tag = "5")]
    Done(Done),
    /// One page of attempts.
    #[prost(message, tag = "6")]
    Listing(Listing),
    /// An attempt has ended and is not collected.
    #[prost(message, tag = "7")]
    Ended(Ended),
    /// The keeper understood and will not.
    #[prost(message, tag = "8")]
    Refused(Refused),
    /// What an attempt uses.
    #[prost(message, tag = "9")]
    Usage(Usage),
}

/// Who answers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Welcome {
    /// The newest version the keeper speaks.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// The oldest version the keeper speaks.
    #[prost(uint32, tag = "2")]
    pub version_oldest: u32,
    /// The keeper's process.
    #[prost(uint32, tag = "3")]
    pub keeper_pid: u32,
    /// The guard's process.
    #[prost(uint32, tag = "4")]
    pub guard_pid: u32,
    /// Attempts held, running or ended.
    #[prost(uint32, tag = "5")]
    pub attempts: u32,
    /// How many keepers died under this guard.
    #[prost(uint32, tag = "6")]
    pub deaths: u32,
    /// The program it was forked from; see `process::image`.
    #[prost(string, tag = "7")]
    pub image: String,
}

/// A started attempt.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Started {
    /// Main process.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// Wall time of the start.
    #[prost(uint64, tag = "2")]
    pub at_wall_ms: u64,
}

/// Why an attempt did not start.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StartFailed {
    /// What failed: `exec`, `workdir`, `user`, ...
    #[prost(string, tag = "1")]
    pub step: String,
    /// The system's error number, 0 without one.
    #[prost(int32, tag = "2")]
    pub errno: i32,
    /// One line for people.
    #[prost(string, tag = "3")]
    pub message: String,
    /// Whether the same start must fail again.
    #[prost(bool, tag = "4")]
    pub hopeless: bool,
}

/// Done.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Done {}

/// One page of attempts.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Listing {
    /// The attempts.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<Item>,
    /// Where the next page begins; 0 when this is the last.
    #[prost(uint64, tag = "2")]
    pub next: u64,
}

/// One attempt of a page.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Item {
    /// The attempt.
    #[prost(message, required, tag = "1")]
    pub id: Id,
    /// Main process.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
    /// Wall time of the start.
    #[prost(uint64, tag = "3")]
    pub started_wall_ms: u64,
    /// The end, without its tail, when there is one.
    #[prost(message, optional, tag = "4")]
    pub ended: Option<Ended>,
    /// Whether a stop was asked for.
    #[prost(bool, tag = "5")]
    pub stopping: bool,
}

/// Why the main process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Cause {
    /// The status is not known: keeper and guard died, or the machine did.
    Lost = 0,
    /// It exited; `code` is its exit code.
    Exit = 1,
    /// A signal that was not ours; `code` is its number.
    Signal = 2,
    /// The kernel killed it for memory.
    Oom = 3,
    /// Our SIGKILL, when a stop took too long.
    Killed = 4,
    /// The fence: told to stop shortly before its deadline, killed when it came.
    Lease = 5,
}

/// The end of an attempt: all of its processes are gone.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Ended {
    /// The attempt.
    #[prost(message, required, tag = "1")]
    pub id: Id,
    /// Why.
    #[prost(enumeration = "Cause", tag = "2")]
    pub cause: i32,
    /// Exit code or signal number.
    #[prost(int32, tag = "3")]
    pub code: i32,
    /// Whether a stop was asked for before the main process ended.
    #[prost(bool, tag = "4")]
    pub stopped: bool,
    /// Wall time of the end.
    #[prost(uint64, tag = "5")]
    pub at_wall_ms: u64,
    /// Boot time of the end.
    #[prost(uint64, tag = "6")]
    pub at_boot_ms: u64,
    /// From start to end, on the clock that does not jump.
    #[prost(uint64, tag = "7")]
    pub ran_ms: u64,
    /// The last output, at most 4 KiB.
    #[prost(string, tag = "8")]
    pub tail: String,
    /// Bytes of output that could not be written.
    #[prost(uint64, tag = "9")]
    pub dropped_bytes: u64,
    /// Main process.
    #[prost(uint32, tag = "10")]
    pub pid: u32,
}

/// A refusal.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Refused {
    /// Machine-readable: `unknown`, `running`, `busy`, `full`, `version`, `invalid`, `leaving`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// One line for people.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// What an attempt uses, as far as somebody counts.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Usage {
    /// Bytes of memory.
    #[prost(uint64, optional, tag = "1")]
    pub memory_bytes: Option<u64>,
    /// The most they ever were.
    #[prost(uint64, optional, tag = "2")]
    pub memory_peak_bytes: Option<u64>,
    /// CPU time in µs.
    #[prost(uint64, optional, tag = "3")]
    pub cpu_us: Option<u64>,
    /// Processes that live.
    #[prost(uint32, tag = "4")]
    pub processes: u32,
}
