//! `minijob operator snapshot inspect`: what a file holds.

use std::path::PathBuf;

use proto::time::now;

use super::{View, read};
use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::output::{Out, Tone, ago, size};

/// What `operator snapshot inspect` is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let archive = read(&args.file)?;
    let view = View::of(&args.file, &archive.meta);
    let mut out = Out::new(global);
    if out.json {
        out.document(&view)?;
        return Ok(Exit::DONE);
    }
    let rows = [
        ("file", format!("{}, {}, whole", view.file, size(view.bytes))),
        ("cluster", view.cluster.to_string()),
        ("taken", format!("{} ({})", view.taken_at, ago(now(), view.taken_at))),
        ("revision", view.revision.0.to_string()),
        ("content", view.content()),
        ("written by", format!("minijob {}, state version {}", view.version, view.state_version)),
    ];
    for (key, text) in rows {
        out.line(&format!("{}{text}", out.paint.text(Tone::Dim, &format!("{key:<12}"))))?;
    }
    Ok(Exit::DONE)
}
