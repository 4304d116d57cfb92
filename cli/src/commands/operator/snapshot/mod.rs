//! `minijob operator snapshot`: the whole state, as a file.

mod inspect; // what a file holds
mod progress; // how far it is
mod restore; // a file becomes the state
mod save; // the state becomes a file

use std::path::Path;

use proto::error::{Error, Kind};
use proto::ids::{Incarnation, Revision};
use proto::time::Timestamp;
use serde::Serialize;
use server::archives::{self, Unusable};
use server::core::archive::{self, Archive, Meta};

use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::output::count;

const EXAMPLES: &str = "\
Examples:
  minijob operator snapshot save before-upgrade.snapshot
  minijob operator snapshot inspect before-upgrade.snapshot
  minijob operator snapshot restore before-upgrade.snapshot

A snapshot holds jobs with their variables and history, nodes, allocations and settings: keep it where nobody else reads it. The
cluster's key and its tokens are not in it. `snapshots:` in server.yml lets the servers take one from time to time.";

/// What `operator snapshot` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub what: What,
}

/// What can be done.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Writes the state of this moment into a file
    Save(save::Args),
    /// Shows what a file holds, and checks every byte of it; asks no server
    Inspect(inspect::Args),
    /// Makes what a file holds the state of the cluster
    Restore(restore::Args),
}

/// Runs the command.
///
/// # Errors
/// The server's refusal, and what is wrong with the file.
pub(super) fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    match &args.what {
        What::Save(args) => save::main(args, global),
        What::Inspect(args) => inspect::main(args, global),
        What::Restore(args) => restore::main(args, global),
    }
}

/// What a file holds, as a document.
#[derive(Debug, Serialize)]
struct View {
    file: String,
    cluster: Incarnation,
    revision: Revision,
    taken_at: Timestamp,
    version: String,
    state_version: u32,
    jobs: u64,
    nodes: u64,
    allocations: u64,
    bytes: u64,
}

impl View {
    fn of(path: &Path, meta: &Meta) -> Self {
        Self {
            file: path.display().to_string(),
            cluster: meta.incarnation,
            revision: meta.revision,
            taken_at: meta.taken,
            version: meta.version.clone(),
            state_version: meta.state_version,
            jobs: meta.jobs,
            nodes: meta.nodes,
            allocations: meta.allocs,
            bytes: std::fs::metadata(path).map_or(0, |found| found.len()),
        }
    }

    /// What is in it, in a few words.
    fn content(&self) -> String {
        let count = |number: u64, what| count(usize::try_from(number).unwrap_or(usize::MAX), what);
        let (jobs, nodes) = (count(self.jobs, "job"), count(self.nodes, "node"));
        format!("{jobs}, {nodes}, {}", count(self.allocations, "allocation"))
    }
}

/// Reads a file and checks every byte of it.
///
/// # Errors
/// [`Kind::Invalid`] with what is wrong with it; [`Kind::NotFound`] when there is none.
fn read(path: &Path) -> Result<Archive, Error> {
    archives::read(path).map_err(|Unusable { source, .. }| refusal(path, &source))
}

fn refusal(path: &Path, why: &archive::Error) -> Error {
    let file = path.display();
    match why {
        archive::Error::Io(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            Error::new(Kind::NotFound, format!("there is no file {file}"))
        }
        archive::Error::Io(cause) => Error::new(Kind::Refused, format!("cannot read {file}: {cause}")),
        archive::Error::Damaged(_) | archive::Error::Content(_) => {
            Error::new(Kind::Invalid, format!("{file} cannot be used: {why}"))
                .hint("copy it again from where it was written, or take an older one")
        }
        archive::Error::Foreign | archive::Error::Newer { .. } => {
            Error::new(Kind::Invalid, format!("{file} cannot be used: {why}"))
        }
    }
}
