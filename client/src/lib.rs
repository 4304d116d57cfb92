//! The minijob agent: runs tasks, decides nothing about placement.
//!
//! Modules in reading order: `driver` is what the task layer talks to, `keeper` is the process that really owns
//! the tasks, `logs` is how their output is written and read, `limits` holds every bound with its reason.

pub mod driver;
pub mod keeper;
pub mod limits;
pub mod logs;
