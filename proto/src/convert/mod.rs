//! Other tools' files as jobs: what has a counterpart is taken over, what has none is named, never dropped silently.
//!
//! Nothing here reads a file: what a file refers to comes through what the caller gives.

mod format; // whose file it is
pub mod monexec; // a supervisor for one machine
mod printable; // that a job can be written as a job file

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

pub use format::Format;

use crate::jobfile::{self, Faults, Given};
use crate::model::Job;

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Its jobs, or all that is wrong with it: what [`jobfile::explain()`] writes of each is read back as an equal job.
    pub jobs: Result<Vec<Job>, Faults>,
    /// What has no counterpart, also where something is wrong, in the order of the file; at most [`crate::limits::ERRORS_PER_FILE`], the last of them says how
    /// many more there are.
    pub notes: Vec<Note>,
}

/// Something in a file that has no counterpart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    /// Where, from 1.
    pub line: u32,
    /// What it is, and what becomes of it.
    pub text: String,
    /// Whether it holds for a cluster only: without servers all is as the file has it.
    pub in_cluster_only: bool,
}

impl Note {
    /// Says something that holds everywhere.
    #[must_use]
    pub fn new(line: u32, text: impl Into<String>) -> Self {
        Self { line, text: text.into(), in_cluster_only: false }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}: {}", self.line, self.text)
    }
}

/// What a file was read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Whose file it is.
    pub format: Format,
    /// Its jobs, or all that is wrong with it. A job file holds at least one; another tool's may hold none.
    pub jobs: Result<Vec<Job>, Faults>,
    /// The variables that its jobs declare, also where something is wrong.
    pub variables: BTreeSet<String>,
    /// What has no counterpart; of a job file nothing.
    pub notes: Vec<Note>,
}

/// Reads a file in the format that it is in, or in the one that is `forced`. `file` is the name shown in errors.
///
/// One that could be of two formats is wrong unless one is forced. Formats that nothing reads yet are named by the reader of job
/// files.
#[must_use]
pub fn read(file: &str, text: &str, given: &Given<'_>, forced: Option<Format>) -> Read {
    let (format, faults) = match forced.map_or_else(|| format::recognise(file, text), Ok) {
        Ok(format) => (format, None),
        Err(faults) => (Format::Job, Some(faults)),
    };
    let wrong = |faults| Read { format, jobs: Err(faults), variables: BTreeSet::new(), notes: Vec::new() };
    match (faults, format) {
        (Some(faults), _) => wrong(faults),
        (None, Format::Job) => {
            let read = jobfile::read(file, text, given);
            Read { format, jobs: read.jobs, variables: read.variables, notes: Vec::new() }
        }
        (None, Format::Monexec) => {
            let Converted { jobs, notes } = monexec::convert(file, text, given);
            Read { format, jobs, variables: BTreeSet::new(), notes }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(text: &str, forced: Option<Format>) -> Read {
        read("x.yml", text, &Given::default(), forced)
    }

    #[test]
    fn a_file_is_read_in_the_format_that_it_is_in() {
        let job = read_as("name: web\ncommand: /bin/web\n", None);
        assert_eq!((job.format, job.jobs.map(|jobs| jobs.len())), (Format::Job, Ok(1)));
        let other = read_as("services: [{command: /bin/web}]\nconsul: {}\n", None);
        assert_eq!((other.format, other.jobs.map(|jobs| jobs.len())), (Format::Monexec, Ok(1)));
        assert_eq!(other.notes.len(), 1);
    }

    #[test]
    fn what_could_be_of_two_formats_is_wrong_until_one_is_forced() {
        let text = "name: web\nservices: [{command: /bin/web}]\n";
        let faults = read_as(text, None).jobs.expect_err("of both").0;
        assert_eq!(faults[0].line, 2);
        assert!(faults[0].hint.contains("--format monexec"), "{faults:?}");
        let forced = read_as(text, Some(Format::Monexec));
        assert_eq!(forced.notes.len(), 1, "`name` means nothing there: {:?}", forced.notes);
        assert!(forced.jobs.is_ok());
        let faults = read_as(text, Some(Format::Job)).jobs.expect_err("no job").0;
        assert!(faults.iter().all(|fault| !fault.hint.contains("--format")), "{faults:?}");
    }

    #[test]
    fn formats_that_nothing_reads_yet_are_named() {
        for (text, name) in [
            ("services: {web: {image: nginx}}\n", "a docker-compose file"),
            ("job \"web\" {\n  type = \"service\"\n}\n", "a Nomad job"),
        ] {
            let read = read_as(text, None);
            assert_eq!(read.format, Format::Job);
            let faults = read.jobs.expect_err("is no job file").0;
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].message.contains(name), "{faults:?}");
        }
    }
}
