//! The keeper: the process that tasks belong to, so that they outlive the agent.
//!
//! ```text
//!   agent ~~socket~~ keeper          the agent may die, restart, be upgraded: it only asks
//!                      |
//!                    guard           parent of the keeper and of every task
//!                   /  |  \
//!             keeper task task ...   siblings: the keeper makes tasks as children of the guard
//! ```
//! One *guard* per data directory is forked from the agent before it has threads, without exec, so that it shares the
//! binary's pages. It forks the *keeper*, which does the work: protocol, spawning, logs, stops, fences. Tasks are made with
//! `CLONE_PARENT`: their parent is the guard, which alone reaps. Why so: were the keeper the parent, there would
//! be two ways to learn of an end, before and after its first death, and a hand-over between them. Here a keeper is a
//! replaceable part: it tells the guard of every attempt (an opaque record and duplicates of the pipes) *before* the child
//! exists, the child itself tells its pid *before* it executes, and the next keeper inherits all of that by fork.
//!
//! What a death costs:
//! - agent: nothing. - keeper: the bytes it had read and not written. Ends are in the guard until collected.
//! - guard: the keeper takes its place and forks a keeper of its own; statuses of running tasks are read from their pidfds
//!   where the kernel tells (6.15), else their end is known as lost.
//! - both at once: what the journal knows (every end) is kept; what still runs is ended by the next keeper and reported lost,
//!   because nobody reads its output and nobody could tell its end.
//! - the machine: ends of the last seconds may be lost with the disk's cache; nothing of them runs.
//!
//! What can stall it: the keeper has one thread, and the kernel may hold that up in a write to a disk that cannot keep up and in
//! the `exec` of a program on a dead network file system. Tasks run on meanwhile; stops and fences are late by as much.
//!
//! Modules in reading order: [`ensure`] finds or makes a keeper; `guard`, `link` and `process` are the guard and its helpers;
//! `serve` is the keeper's loop, with `token`, `connection`, `requests`, `life`, `attempt`, `output`, `restore` and `idle`;
//! `spawn` and `clone` start programs, `confine`, `mounts` and `init` set them apart; `cgroup`, `tree` and `pidfd` find, limit
//! and kill what belongs together; `measure` tells what it uses; `record` and `journal` are memory; [`message`] and [`frame`] are the protocol; [`clock`] is time.

mod attempt;
mod cgroup;
pub mod clock;
mod clone;
mod confine;
mod connection;
mod ensure;
pub mod frame;
mod guard;
mod idle;
mod init;
mod journal;
mod life;
mod link;
mod measure;
pub mod message;
mod mounts;
mod output;
mod pidfd;
mod process;
mod record;
mod requests;
mod restore;
mod serve;
mod spawn;
mod token;
mod tree;

pub use cgroup::Choice;
pub(crate) use ensure::with_short_path;
pub use ensure::{Config, Connector, EnsureError, Removal, dismiss, ensure};
