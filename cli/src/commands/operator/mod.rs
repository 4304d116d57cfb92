//! `minijob operator`: what concerns the cluster as a whole.

mod brake; // what many lost nodes ran
mod key; // the secret by which members know each other
mod member; // who belongs to the cluster, and who is thrown out
mod raft; // which servers the cluster has
mod settings; // what all servers go by
mod snapshot; // the whole state, as a file
mod token; // what lets administrators in

use crate::args::Global;
use crate::exit::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  minijob operator settings                      all of them, with what each is for
  minijob operator settings get node_timeout
  minijob operator settings set node_timeout=30s versions=20
  minijob operator settings set node_timeout=default
  minijob operator key /etc/minijob/cluster.key  makes the key of a new cluster
  minijob operator member deny vm7               throws an agent or a server out
  minijob operator token rotate                  another administrator's token
  minijob operator snapshot save before.snapshot the whole state, as a file";

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
    /// Makes the key of a new cluster, one file, the same on every server; or changes it
    Key(key::Args),
    /// Changes which servers the cluster has
    Raft(raft::Args),
    /// Replaces at once what was lost with many nodes
    Brake(brake::Args),
    /// Shows who belongs to the cluster, throws a member out, and lets it in again
    Member(member::Args),
    /// Changes the administrator's token
    Token(token::Args),
    /// Saves the whole state as a file, looks at such a file, and makes it the state again
    Snapshot(snapshot::Args),
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    match &args.what {
        What::Settings(args) => settings::main(args, global),
        What::Key(args) => key::main(args, global),
        What::Raft(args) => raft::main(args, global),
        What::Brake(args) => brake::main(args, global),
        What::Member(args) => member::main(args, global),
        What::Token(args) => token::main(args, global),
        What::Snapshot(args) => snapshot::main(args, global),
    }
}
