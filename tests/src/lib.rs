//! What stories, simulation and benchmarks share: real clusters of real processes, jobs, and waiting with a reason.

pub mod cluster;
pub mod command;
pub mod daemon;
pub mod disk;
pub mod job;
pub mod kernel;
pub mod linear;
pub mod notes;
pub mod packing;
pub mod process;
pub mod register;
pub mod rng;
pub mod sampled;
pub mod shim;
pub mod terminal;
pub mod wait;
