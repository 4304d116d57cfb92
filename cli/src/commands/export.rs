//! `minijob export`: a version of a job as a job file.

use proto::view::Export;
use proto::wire::v1;

use crate::args::Global;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::read::understood;
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob export web > web.yml
  minijob export web --version 3";

/// What `export` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The job
    pub job: String,
    /// Which version [default: the present one]
    #[arg(long, value_name = "N")]
    pub version: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let (namespace, name) = global.qualify(&args.job);
    let request = v1::ExportJobRequest {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        version: args.version,
    };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.export_job(request).await }
    };
    let mut out = Out::new(global);
    let document = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let export = understood::<Export>(document)?;
    if out.json { out.passed_on(&export.raw) } else { out.bytes(export.view.job_file.as_bytes()) }?;
    Ok(Exit::DONE)
}
