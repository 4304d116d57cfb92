//! `minijob status`: all jobs, one job, or one allocation.

pub(super) mod alloc; // one allocation
pub(super) mod job; // one job
mod list; // all jobs

use proto::time::now;

use super::target::{self, Target};
use crate::args::Global;
use crate::connect::Servers;
use crate::exit::{Exit, Failure};
use crate::output::{Out, Tone};
use crate::{read, runtime};

const EXAMPLES: &str = "\
Examples:
  minijob status                 all jobs, the unhealthy first
  minijob status --failing       only those that fail or wait for a place
  minijob status web             one job: where it runs, what failed and why
  minijob status web.api.0       one allocation, also by (a prefix of) its id
  minijob status --json web | jq .groups";

/// What `status` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A job, an allocation (job.group.index), or the beginning of an allocation's id; none: all jobs of all namespaces, or of
    /// the one that is given
    #[arg(value_name = "JOB or ALLOC")]
    pub target: Option<String>,
    /// Shows all ended allocations too
    #[arg(long)]
    pub all: bool,
    /// Shows only the jobs that fail, or wait for a place
    #[arg(long, conflicts_with_all = ["target", "all"])]
    pub failing: bool,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let mut out = Out::new(global);
    runtime::small(async {
        let servers = Servers::new(global)?;
        let Some(text) = &args.target else {
            let jobs = match read::jobs(&servers, global.namespace().unwrap_or_default()).await {
                Ok(jobs) => jobs,
                Err(error) => return Err(list::with_danger(error, &servers).await.into()),
            };
            return match (out.json, args.failing) {
                (false, failing) => {
                    list::show(&mut out, &jobs.view.items, failing, now())?;
                    list::warn(&mut out, &jobs.view.warnings, &servers).await
                }
                (true, false) => out.passed_on(&jobs.raw),
                (true, true) => out.document(&list::failing(&jobs)?),
            };
        };
        match target::find(&servers, global, text).await? {
            Target::Job(job) if out.json => out.passed_on(&job.raw),
            Target::Alloc(alloc) if out.json => out.passed_on(&alloc.raw),
            Target::Job(job) => job::show(&mut out, &job.view, args.all, now()),
            Target::Alloc(alloc) => alloc::show(&mut out, &alloc.view, now()),
        }
    })?;
    Ok(Exit::DONE)
}

/// Shows the last output of what failed.
fn show_tail(out: &mut Out, heading: &str, lines: &[String]) -> Result<(), Failure> {
    if lines.is_empty() {
        return Ok(());
    }
    out.line("")?;
    out.toned(Tone::Strong, heading)?;
    for line in lines {
        out.line(&format!("  | {line}"))?;
    }
    Ok(())
}
