//! `minijob operator raft`: which servers the cluster has.

use proto::wire::v1;

use crate::args::Global;
use crate::commands::written;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob server members                  who is there
  minijob operator raft remove s3         s3 is gone for good";

/// What `operator raft` is asked.
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
    /// Removes a server from the cluster; it comes back only with an empty data directory
    Remove {
        /// Its name or its id
        #[arg(value_name = "SERVER")]
        server: String,
    },
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub(super) fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let What::Remove { server } = &args.what;
    let call = |mut client: Client| {
        let request = v1::RemoveServerRequest { server: server.clone() };
        async move { client.remove_server(request).await }
    };
    let mut out = Out::new(global);
    let reply = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let answer = written::understood(&reply)?;
    let said = if answer.changed {
        format!("{server}: removed; stop it if it still runs")
    } else {
        format!("{server}: nothing changed, it is no server of this cluster")
    };
    written::show(&mut out, &answer, None, &said)
}
