//! `minijob schema`: the JSON Schema of job files.

use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::output::Out;

const EXAMPLES: &str = "\
Examples:
  minijob schema > job-file.schema.json

and in the first line of a job file:
  # yaml-language-server: $schema=job-file.schema.json";

/// What `schema` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

/// Runs the command. A schema is JSON, with and without `--json`.
///
/// # Errors
/// Standard output that takes nothing.
pub fn main(_: &Args, global: &Global) -> Result<Exit, Failure> {
    let mut text = serde_json::to_vec_pretty(&proto::jobfile::schema())
        .map_err(|cause| proto::error::Error::new(proto::error::Kind::Internal, cause.to_string()))?;
    text.push(b'\n');
    Out::new(global).bytes(&text)?;
    Ok(Exit::DONE)
}
