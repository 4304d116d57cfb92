//! Commands beside a running task: `minijob exec`.
//!
//! The agent starts them itself, as its own children, so that the keeper stays small and a command ends with the agent. What a
//! command must have of the task is read from the task's main process at that moment, not from the job: also what an older version of
//! the file or of this program gave it is right then.
//!
//! Reading order: `proc` reads what the kernel says of a process; `place` is all that a command takes over from one; `enter` is what
//! the child does to itself before it executes; `spawn` starts it on a thread of its own; `wire` moves bytes to and from it; `hang_up`
//! ends it.

mod enter;
mod hang_up;
pub mod place;
mod proc;
pub mod spawn;
pub mod wire;
