//! `minijob run`: submits job files and follows them.

pub mod command; // a program of the command line as a job
mod prune; // what is no longer in a directory
mod report; // how it went, in words, documents and exit codes
mod submit; // the write, and what it placed
mod watch; // from the write to the outcome

use std::path::PathBuf;
use std::time::Duration;

use proto::error::{Error, Kind};
use proto::model::Job;
use proto::units::parse_duration;

pub(super) use submit::placed;
pub use submit::{Present, Submitted, submit};
pub use watch::watch;

use crate::args::Global;
use crate::connect::Servers;
use crate::exit::{Exit, Failure};
use crate::output::{Board, Out, Voice};
use crate::{files, limits, read, runtime};

const EXAMPLES: &str = "\
Examples:
  minijob run web.yml                          until it is healthy, or has failed
  minijob run shop/                            every *.yml and *.yaml of a directory
  minijob run --var tag=1.5 shop.yml           with a value for its ${var.tag}
  minijob run --prune shop/                    and what came from it and is no longer there is stopped
  minijob run --wait --exit-code backup.yml    a batch job as if it ran here
  cat web.yml | minijob run -m 'new image' -
  minijob run --port http -- python3 -m http.server '${port.http}'    a command as a job
  minijob run --batch --wait -- ./backup --all                        one that ends
  minijob run --generate -- sleep 60 > sleep.yml                      its job file";

const USAGE: &str = "\
minijob run [OPTIONS] <FILE>...
       minijob run [OPTIONS] -- <COMMAND>...";

/// What `run` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub struct Args {
    /// Job files; a directory means its *.yml and *.yaml, `-` is standard input
    #[arg(required_unless_present = "command", conflicts_with = "command", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How they are read.
    #[command(flatten)]
    pub reading: files::Reading,
    /// Submits and does not follow
    #[arg(long, conflicts_with_all = ["wait", "timeout"])]
    pub detach: bool,
    /// Refuses unless the job is at this version; 0: it must not exist
    #[arg(long, value_name = "N")]
    pub check_version: Option<u64>,
    /// Kept in the job's history
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub message: String,
    /// Follows a batch job until it has ended
    #[arg(long)]
    pub wait: bool,
    /// Also stops jobs that came from the same directory and are no longer in it
    #[arg(long, conflicts_with = "command")]
    pub prune: bool,
    /// Ends with the task's own exit code
    #[arg(long, requires = "wait")]
    pub exit_code: bool,
    /// Follows no longer than this [default: 5m; with --wait: no limit]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Prints the job file of -- COMMAND instead of running it
    #[arg(long, requires = "command")]
    pub generate: bool,
    /// A command instead of files.
    #[command(flatten)]
    pub command: command::Args,
}

/// Runs the command.
///
/// # Errors
/// Invalid files before anything is submitted; the first refusal of a server.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let command = args.command.job(global, None, "run")?;
    if let Some(job) = command.as_ref().filter(|_| args.generate) {
        return Out::new(global).bytes(proto::jobfile::brief(job).as_bytes()).map(|()| Exit::DONE);
    }
    let is_command = command.is_some();
    let jobs = match command {
        Some(job) => vec![job],
        None => {
            let loaded = files::load(&args.files, &args.reading, global.namespace())
                .map_err(|error| files::or_command(error, &args.files, "run"))
                .map_err(|error| files::no_harm(error, "nothing was submitted"))?;
            loaded.tell(Voice::new(global), true);
            loaded.jobs
        }
    };
    if args.check_version.is_some() && jobs.len() != 1 {
        let message = format!("--check-version is about one job, and these are {}", jobs.len());
        return Err(Error::new(Kind::Invalid, message).into());
    }
    if args.prune {
        prune::origins(&jobs)?;
    }
    if args.wait {
        ends(&jobs)?;
    }
    let present = match args.check_version {
        Some(version) => Present::At(version),
        None if is_command && args.command.name.is_none() => Present::Same,
        None => Present::Changes,
    };
    let batch = jobs.iter().any(Job::has_an_end);
    let endless = args.wait && batch;
    let timeout = args.timeout.or((!endless).then_some(limits::FOLLOW));
    let follow = Follow { timeout, to_the_end: args.wait };
    runtime::small(async {
        let servers = Servers::new(global)?;
        let voice = Voice::new(global);
        let mut board = Board::new(global);
        if is_command && args.command.node.is_none() {
            warn_of_nodes(&servers, voice).await;
        }
        let submitted = submit(&servers, &jobs, present, &args.message, &mut board).await?;
        if args.prune {
            prune::prune(&servers, &jobs, &mut board).await?;
        }
        if args.detach {
            return report::detached(&submitted, &mut board);
        }
        let reports = tokio::select! {
            reports = watch(&servers, &submitted, follow, &mut board, voice) => reports?,
            _ = tokio::signal::ctrl_c() => return report::left(&submitted, &mut board),
        };
        report::all(&reports, args.exit_code && batch, &mut board, voice)
    })
}

/// Refuses to wait for the end of what has none. Beside a batch job a service is followed until it is healthy.
fn ends(jobs: &[Job]) -> Result<(), Error> {
    match jobs.first() {
        Some(first) if !jobs.iter().any(Job::has_an_end) => {
            let message = format!("`{}` is a service, which never ends", first.key);
            let hint = "--wait is for batch jobs (`--batch`, `type: batch`); without it a service is followed until it is healthy";
            Err(Error::new(Kind::Invalid, message).hint(hint))
        }
        _ => Ok(()),
    }
}

/// A command of this machine may be nowhere else.
async fn warn_of_nodes(servers: &Servers, voice: Voice) {
    // Whoever cannot be asked is told by the submission.
    let nodes = read::nodes(servers, None).await.map_or(0, |nodes| nodes.view.items.len());
    if nodes > 1 {
        voice.notice(&format!(
            "it may be placed on any of {nodes} nodes, and the program must be there: `--node NAME` names one"
        ));
    }
}

/// How long and how far jobs are followed.
#[derive(Clone, Copy, Debug)]
pub struct Follow {
    /// No longer than this; none: without limit.
    pub timeout: Option<Duration>,
    /// Batch jobs until they have ended.
    pub to_the_end: bool,
}
