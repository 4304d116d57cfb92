//! The minijob server: remembers and decides; never runs a task.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod core;
pub mod limits;
