//! What stories, simulation and benchmarks share: real clusters of real processes, jobs, and waiting with a reason.

pub mod cluster;
pub mod command;
pub mod disk;
pub mod job;
pub mod notes;
pub mod process;
pub mod terminal;
pub mod wait;
