//! `minijob stop`: servers order a job's allocations to end.

use bytes::Bytes;
use proto::error::{Error, Kind};
use proto::ids::{JobKey, JobVersion, Revision, random_request_id};
use proto::view::Written;
use proto::wire::v1;

use crate::args::Global;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob stop web                        its tasks get their stop signal, then SIGKILL
  minijob stop web db                     one after the other
  minijob stop --purge --if-exists web    also forgets it; well also when there is none";

/// What `stop` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The jobs
    #[arg(required = true, value_name = "JOB")]
    pub jobs: Vec<String>,
    /// Also forgets the jobs and their history once everything has ended
    #[arg(long)]
    pub purge: bool,
    /// No error when there is no such job
    #[arg(long)]
    pub if_exists: bool,
}

/// Runs the command: one job after the other, to the first that cannot be stopped; what came before it is stopped and said.
///
/// # Errors
/// The server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let mut out = Out::new(global);
    runtime::small(async {
        let servers = Servers::new(global)?;
        for key in args.jobs.iter().map(|job| global.key(job)) {
            let written = match stop(&servers, &key.namespace, &key.name, args.purge).await {
                Err(error) if error.kind == Kind::NotFound && args.if_exists => None,
                result => Some(result?),
            };
            if out.json {
                let none = Written {
                    changed: false,
                    version: JobVersion(0),
                    revision: Revision(0),
                    placement: None,
                };
                out.document(&written.unwrap_or(none))?;
            } else {
                out.line(&said(&key, args.purge, written.as_ref()))?;
            }
        }
        Ok(Exit::DONE)
    })
}

/// Stops a job. A second call changes nothing.
///
/// # Errors
/// See [`Servers::ask`].
pub async fn stop(servers: &Servers, namespace: &str, name: &str, purge: bool) -> Result<Written, Error> {
    let request = v1::StopJobRequest {
        request_id: Bytes::copy_from_slice(&random_request_id().0.to_be_bytes()),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        purge,
    };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.stop_job(request).await }
    };
    let reply = servers.ask(call).await?;
    let (version, revision) = (JobVersion(reply.version), Revision(reply.revision));
    Ok(Written { changed: reply.changed, version, revision, placement: None })
}

fn said(job: &JobKey, purge: bool, written: Option<&Written>) -> String {
    match written {
        None => format!("{job}: there is no such job"),
        Some(written) if !written.changed => format!("{job}: was stopped already"),
        Some(_) if purge => format!("{job}: stops now, and is forgotten when everything of it has ended"),
        Some(_) => format!("{job}: stops now; `minijob status {job}` shows what still runs"),
    }
}
