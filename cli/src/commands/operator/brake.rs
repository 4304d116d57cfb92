//! `minijob operator brake`: what was lost with many nodes at once, and is not replaced at once.

use proto::wire::v1;

use crate::args::Global;
use crate::commands::written;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::runtime;

const EXAMPLES: &str = "\
When a third of the nodes, of several failure domains, stop answering at once, what they ran is not replaced for a minute, and then node by
node: more often than not a network was cut, and they come back. `minijob status` says so; the settings brake_at and brake_pause say
when and for how long.

Examples:
  minijob operator brake release                       they are gone: replace everything now
  minijob operator settings set brake_pause=10m";

/// What `operator brake` is asked.
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
    /// Replaces now what was lost with many nodes at once
    Release,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub(super) fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let What::Release = &args.what;
    let request = v1::ReleaseBrakeRequest { request_id: written::request_id() };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.release_brake(request).await }
    };
    let mut out = Out::new(global);
    let reply = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let answer = written::understood(&reply)?;
    let said = match answer.changed {
        true => "what was lost is being replaced",
        false => "nothing changed: nothing is held back",
    };
    written::show(&mut out, &answer, None, said)
}
