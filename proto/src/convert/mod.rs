//! Other tools' files as jobs: what has a counterpart is taken over, what has none is named, never dropped silently.
//!
//! Nothing here reads a file: what a file refers to comes through a function that the caller gives.

pub mod monexec;

use std::fmt;

use crate::model::Job;

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Its jobs.
    pub jobs: Vec<Job>,
    /// What has no counterpart, in the order of the file.
    pub notes: Vec<Note>,
}

/// Something in a file that has no counterpart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Where, from 1.
    pub line: u32,
    /// What it is, and what becomes of it.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}: {}", self.line, self.text)
    }
}
