//! YAML to [`Job`], and back: all faults of a file at once, each with its place and what would be right.
//!
//! A file becomes a tree whose nodes know their places; one decoder per noun reads the tree, notes faults and goes on with
//! defaults. Nothing here reads a file, a clock or the environment.

mod emit;
mod explain;
mod fault;
mod file;
mod formats;
mod group;
pub mod interpolate;
mod job;
mod keys;
mod names;
mod ports;
mod reader;
mod restart;
mod signal;
mod source;
mod syntax;
mod table;
mod task;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tree;
pub mod yaml;

use std::path::Path;

pub use fault::{Fault, Faults};

use crate::model::Job;

/// Reads the jobs of a file whose place is not known: relative paths in it are faults.
///
/// `file` is the name shown in errors. See [`parse_in`].
///
/// # Errors
/// [`Faults`]: all that is wrong with the file.
pub fn parse(file: &str, text: &str) -> Result<Vec<Job>, Faults> {
    parse_in(file, text, None)
}

/// Reads the jobs of a file: at least one, in the order of the file, with all defaults filled in.
///
/// `file` is the name shown in errors. A relative `workdir`, and a relative `command` that holds a `/`, are relative to
/// `base`, the absolute directory of the file. At most [`crate::limits::JOB_FILE_BYTES`] are read.
///
/// # Errors
/// [`Faults`]: all that is wrong with the file, at most [`crate::limits::ERRORS_PER_FILE`]. After a syntax error only what stands
/// before it has been looked at.
pub fn parse_in(file: &str, text: &str, base: Option<&Path>) -> Result<Vec<Job>, Faults> {
    file::read(file, text, base)
}

/// Writes a job in the full form with every default filled in. [`parse`] reads it back as an equal job, so that explaining it
/// again gives the same text. What the file left to the agent (`user`, `workdir`) is a comment.
#[must_use]
pub fn explain(job: &Job) -> String {
    explain::explain(job)
}
