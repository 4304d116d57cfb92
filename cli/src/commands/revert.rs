//! `minijob revert`: an earlier version becomes a new one.

use proto::view::Health;
use proto::wire::v1;

use super::written;
use crate::args::Global;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::{read, runtime};

const EXAMPLES: &str = "\
Examples:
  minijob history web      the versions that are kept
  minijob revert web 3     what version 3 described becomes a new version

A job that was stopped is started by it.";

/// What `revert` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The job
    pub job: String,
    /// The version to go back to
    pub version: u64,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let key = global.key(&args.job);
    let request = v1::RevertJobRequest {
        request_id: written::request_id(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        version: args.version,
    };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.revert_job(request).await }
    };
    let mut out = Out::new(global);
    let (was_stopped, reply) = runtime::small(async {
        let servers = Servers::new(global)?;
        let before = read::job_status(&servers, &key.namespace, &key.name, None).await;
        let was_stopped = before.is_ok_and(|before| before.view.summary.health == Health::Stopped);
        Ok((was_stopped, servers.ask(call).await?))
    })?;
    let answer = written::understood(&reply)?;
    let started = if was_stopped { "; the job was stopped, it is started" } else { "" };
    let said = match answer.changed {
        true if answer.version.0 == args.version => {
            format!("{key}: started again at version {}", answer.version)
        }
        true => {
            format!("{key}: reverted to version {}, as version {}{started}", args.version, answer.version)
        }
        false => format!("{key}: nothing changed, version {} is what runs", args.version),
    };
    written::show(&mut out, &answer, Some(&key), &said)
}
