//! The minijob agent: runs tasks, decides nothing about placement.
//!
//! Modules in reading order: `core` is every decision, pure.

pub mod core;
pub mod store;
pub mod limits;
