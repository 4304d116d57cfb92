//! The output of tasks as files: written by the keeper, read by the agent.
//!
//! A stream of a task is a row of files `TASK.stdout.N`, N growing; only the newest is written to, the oldest are removed.
//! The bytes are the task's own. In reading order: [`files`] names and lists them, [`writer`] writes and rotates,
//! `times` knows when what was written, [`reader`] reads and follows, [`ordered`] reads the streams in the order of time and `tail`
//! finds their last lines; [`extra`] is where else output goes, [`journal`] one of these places.

pub mod extra;
pub mod files;
pub mod journal;
pub mod ordered;
pub mod reader;
mod source;
mod tail;
mod times;
pub mod writer;

pub use extra::Also;
pub use files::{Policy, Stream};
