//! `minijob export`: a version of a job as a job file.

use proto::jobfile;
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
  minijob export web --version 3

What goes without saying is left out; `minijob validate --explain FILE` shows it, as does --json.";

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
    if out.json { out.passed_on(&export.raw) } else { out.bytes(brief(export.view.job_file).as_bytes()) }?;
    Ok(Exit::DONE)
}

/// Returns the job file of the server, which has every default, as briefly as it can be said. What this program does not understand, a
/// newer server may have written: it is passed on as it is.
fn brief(full: String) -> String {
    match jobfile::parse("", &full).as_deref() {
        Ok([job]) => jobfile::brief(job),
        _ => full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_every_default_is_said_briefly_and_one_of_a_newer_server_as_it_is() {
        let job = jobfile::parse("", "name: web\ncommand: /bin/web\n").expect("valid").remove(0);
        assert_eq!(brief(jobfile::explain(&job)), "name: web\ncommand: /bin/web\n");
        let newer = "name: web\ncommand: /bin/web\nwhat_comes_later: 1\n";
        assert_eq!(brief(newer.to_owned()), newer);
    }
}
