//! Every decision of the agent, and nothing else: no clock, no I/O, no tasks, no randomness.
//!
//! Reading order: `spec` is what an allocation runs; `assignments` what to do about what servers want; `restart` and
//! `task_machine` what happens to one task; `course` and `lifecycle` whose turn it is; `fence` until when; `alloc_status` what that makes of the
//! allocation; `retention` what is kept of it afterwards.

pub mod alloc_status;
pub mod assignments;
pub mod course;
pub mod fence;
pub mod lifecycle;
pub mod restart;
pub mod retention;
pub mod spec;
pub mod supervise;
pub mod task_machine;
