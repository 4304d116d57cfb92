//! The minijob agent: runs tasks, decides nothing about placement.
//!
//! Modules in reading order: `agent` puts all together, `probes` lets machines ask it, `supervise` does without servers;
//! `session` talks to the servers, `allocs` runs what they assign and
//! `tasks` each task of it, `exec` what people run beside one, `driver` is what the task layer talks to, `keeper` the process that really owns the tasks, `logs`
//! how their output is written and read. `core` is every decision, pure. `store` survives the agent, `enrolment` is its certificate, `fingerprint` knows the
//! machine, `clock` the time, `limits` holds every bound with its reason.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

pub mod agent;
pub mod allocs;
pub mod clock;
pub mod core;
pub mod driver;
pub mod enrolment;
pub mod exec;
pub mod fingerprint;
pub mod keeper;
pub mod limits;
pub mod logs;
pub mod probes;
pub mod session;
pub mod store;
pub mod supervise;
pub mod tasks;
