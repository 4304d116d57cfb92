//! `minijob start`: a stopped job starts again, as it was.

use proto::wire::v1;

use super::written;
use crate::args::Global;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob start web     with the description that it has; nothing happens when it is not stopped";

/// What `start` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The job
    pub job: String,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let key = global.key(&args.job);
    let request = v1::StartJobRequest {
        request_id: written::request_id(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.start_job(request).await }
    };
    let mut out = Out::new(global);
    let reply = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let answer = written::understood(&reply)?;
    let said = match answer.changed {
        true => format!("{key}: starts again, version {}", answer.version),
        false => format!("{key}: nothing changed, it was not stopped"),
    };
    written::show(&mut out, &answer, Some(&key), &said)
}
