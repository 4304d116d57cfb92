//! YAML to [`Job`], and back: all faults of a file at once, each with its place and what would be right.
//!
//! A file becomes a tree whose nodes know their places; one decoder per noun reads the tree, notes faults and goes on with
//! defaults. Nothing here reads a file, a clock or the environment.

mod confine;
mod depends;
mod disconnect;
mod emit;
pub mod explain;
mod fault;
mod file;
mod files;
mod formats;
mod given;
mod group;
pub mod interpolate;
mod job;
mod keys;
mod logs;
mod migrate;
mod mistake;
mod names;
mod paths;
mod per_node;
mod placement;
mod ports;
mod reader;
mod restart;
pub mod rules;
mod schema;
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
mod variables;
pub mod yaml;

use std::collections::BTreeSet;
use std::path::Path;

pub use fault::{Fault, Faults};
pub use given::{Assigned, Files, Given};

use crate::model::Job;

/// What a file was read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Its jobs: at least one, in the order of the file, with all defaults filled in. Or all that is wrong with it, at most
    /// [`crate::limits::ERRORS_PER_FILE`] faults; after a syntax error only what stands before it has been looked at.
    pub jobs: Result<Vec<Job>, Faults>,
    /// The variables that its jobs declare, also where something is wrong.
    pub variables: BTreeSet<String>,
}

/// Reads a file of at most [`crate::limits::JOB_FILE_BYTES`]. `file` is the name shown in errors.
///
/// A relative `workdir`, a relative `command` that holds a `/`, and the files that it refers to are relative to `given.base`.
#[must_use]
pub fn read(file: &str, text: &str, given: &Given<'_>) -> Read {
    file::read(file, text, given)
}

/// Reads the jobs of a file whose place is not known, with nothing given: relative paths in it are faults.
///
/// # Errors
/// [`Faults`]: all that is wrong with the file, see [`Read::jobs`].
pub fn parse(file: &str, text: &str) -> Result<Vec<Job>, Faults> {
    parse_in(file, text, None)
}

/// Reads the jobs of a file in the absolute directory `base`, with nothing else given.
///
/// # Errors
/// [`Faults`]: all that is wrong with the file, see [`Read::jobs`].
pub fn parse_in(file: &str, text: &str, base: Option<&Path>) -> Result<Vec<Job>, Faults> {
    read(file, text, &Given { base, ..Given::default() }).jobs
}

/// Reads a file of values for variables, one mapping `NAME: VALUE`, in the order of the file.
///
/// # Errors
/// [`Faults`]: all that is wrong with the file.
pub fn values(file: &str, text: &str) -> Result<Vec<Assigned>, Faults> {
    file::values(file, text)
}

/// Writes a job in the full form with every default filled in. [`parse`] reads it back as an equal job, so that explaining it
/// again gives the same text; where it came from (`origin`) is left out. What the file left to the agent (`user`, `workdir`) is a
/// comment.
#[must_use]
pub fn explain(job: &Job) -> String {
    explain::explain(job)
}

/// Writes a job as briefly as a job file can say it: in the short form where it has one task that bears its name, without what goes
/// without saying. [`parse`] reads it back as an equal job; where it came from (`origin`) is left out.
#[must_use]
pub fn brief(job: &Job) -> String {
    let text = explain::brief(job);
    let job_of_file = Job { origin: None, ..job.clone() };
    // Whatever a later version leaves out too much of is written in full.
    match parse("", &text) {
        Ok(read) if read == [job_of_file] => text,
        _ => explain(job),
    }
}

/// Returns the JSON Schema (draft 2020-12) of a job file, for editors. It is made of the tables that the reader has its keys from.
#[must_use]
pub fn schema() -> serde_json::Value {
    schema::schema()
}
