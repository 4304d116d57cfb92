//! Every decision of the agent, and nothing else: no clock, no I/O, no tasks, no randomness.
//!
//! Reading order: `spec` is what an allocation runs; `assignments` what to do about what servers want; `restart` and
//! `task_machine` what happens to one task; `alloc_health` and `alloc_status` what that makes of the allocation.

pub mod alloc_health;
pub mod alloc_status;
pub mod assignments;
pub mod restart;
pub mod spec;
pub mod supervise;
pub mod task_machine;
