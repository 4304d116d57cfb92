//! `minijob alloc`: one allocation.

use proto::time::now;

use super::status;
use crate::args::Global;
use crate::connect::Servers;
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::{read, runtime};

const EXAMPLES: &str = "\
Examples:
  minijob alloc status web.api.0    by job, group and index
  minijob alloc status 4f2g         by the beginning of its id
  minijob alloc status web          by its job, where that has only one";

/// What `alloc` is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub what: What,
}

/// What can be done.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Shows one allocation: where it is, its tasks, their last ends and output
    #[command(after_help = EXAMPLES)]
    Status {
        /// An id or the beginning of one, job.group.index, or a job that has only one
        #[arg(value_name = "ALLOC")]
        alloc: String,
    },
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let What::Status { alloc } = &args.what;
    let (namespace, name) = global.qualify(alloc);
    let mut out = Out::new(global);
    let found = runtime::small(async { Ok(read::alloc(&Servers::new(global)?, namespace, name).await?) })?;
    if out.json { out.passed_on(&found.raw) } else { status::alloc::show(&mut out, &found.view, now()) }?;
    Ok(Exit::DONE)
}
