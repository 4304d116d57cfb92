//! `minijob restart`: all work of a job by the same, or one allocation in its place.

use proto::ids::{AllocId, JobKey};
use proto::view::Written;
use proto::wire::v1;

use super::target::{self, Target};
use super::written;
use crate::args::Global;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob restart web              one allocation after the other, each when the one before is healthy
  minijob restart web --at-once    all together
  minijob restart web.api.0        one allocation, also one that had been given up
  minijob restart backup           a batch job that is complete runs again";

/// What `restart` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A job, an allocation (job.group.index), or the beginning of an allocation's id
    #[arg(value_name = "JOB or ALLOC")]
    pub target: String,
    /// All allocations of the job together, not one by one
    #[arg(long)]
    pub at_once: bool,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let mut out = Out::new(global);
    let (key, answer, said) = runtime::small(async {
        let servers = Servers::new(global)?;
        match target::find(&servers, global, &args.target).await? {
            Target::Job(job) => {
                let summary = &job.view.summary;
                let key = JobKey::new(&summary.namespace, &summary.name);
                let answer = job_of(&servers, &summary.namespace, &summary.name, args.at_once).await?;
                let pace = if args.at_once { "all at once" } else { "one by one" };
                let said = format!(
                    "{0}: restarts {pace}, version {1}; `minijob status {0}` shows how far it is",
                    key, answer.version
                );
                Ok((key, answer, said))
            }
            Target::Alloc(alloc) => {
                // By its id: what fills the slot when a lost answer is asked for again may be another one.
                let answer = alloc_of(&servers, alloc.view.id).await?;
                let said = match answer.changed {
                    true => format!("{}: restarts on {}", alloc.view.name, alloc.view.node_name),
                    false => format!("{}: nothing changed, it is on its way", alloc.view.name),
                };
                let key = JobKey::new(&alloc.view.namespace, &alloc.view.job);
                Ok((key, Written { placement: None, ..answer }, said))
            }
        }
    })?;
    written::show(&mut out, &answer, Some(&key), &said)
}

async fn job_of(servers: &Servers, namespace: &str, name: &str, at_once: bool) -> Result<Written, Failure> {
    let request = v1::RestartJobRequest {
        request_id: written::request_id(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        at_once,
    };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.restart_job(request).await }
    };
    // Where its work is now says nothing: it is replaced bit by bit.
    Ok(Written { placement: None, ..written::understood(&servers.ask(call).await?)? })
}

async fn alloc_of(servers: &Servers, alloc: AllocId) -> Result<Written, Failure> {
    let (request_id, namespace) = (written::request_id(), String::new());
    let request = v1::RestartAllocRequest { request_id, alloc: alloc.to_string(), namespace };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.restart_alloc(request).await }
    };
    Ok(written::understood(&servers.ask(call).await?)?)
}
