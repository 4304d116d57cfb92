//! `minijob operator`: what concerns the cluster as a whole.

mod settings; // what all servers go by

use crate::args::Global;
use crate::exit::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  minijob operator settings                      all of them, with what each is for
  minijob operator settings get node_timeout
  minijob operator settings set node_timeout=30s versions=20
  minijob operator settings set node_timeout=default";

/// What `operator` is asked.
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
    /// Shows what all servers go by, and changes it; no server is restarted for it
    Settings(settings::Args),
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    match &args.what {
        What::Settings(args) => settings::main(args, global),
    }
}
