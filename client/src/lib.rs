//! The minijob agent: runs tasks, decides nothing about placement.
//!
//! Modules in reading order: `core` is every decision, pure; `driver` is what the task layer talks to, `keeper` the
//! process that really owns the tasks, `logs` how their output is written and read; `store` is what the agent remembers over
//! its own death; `limits` holds every bound with its reason.

pub mod core;
pub mod driver;
pub mod keeper;
pub mod limits;
pub mod logs;
pub mod store;
