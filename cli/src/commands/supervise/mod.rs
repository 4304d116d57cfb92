//! `minijob supervise`: the agent's core without servers, for one container or one machine.

mod data; // where it keeps its data
mod document; // what happens to tasks, for scripts
mod listen; // signals of the owner as orders
mod show; // what tasks print and what happens to them

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use client::driver::process::Processes;
use client::keeper::Connector;
use client::supervise::{self, Config, Sinks, Supervisor};
use proto::convert::Format;
use proto::error::{Error, Kind};
use proto::model::{Job, Placement};
use tokio::sync::mpsc;

use super::run::command;
use crate::args::Global;
use crate::daemon::{self, logging};
use crate::exit::{Exit, Failure};
use crate::files::Loaded;
use crate::output::Voice;
use crate::{files, limits, runtime};
use data::Data;

const EXAMPLES: &str = "\
Examples:
  minijob supervise shop.yml                 every task of a file, restarted as it says
  minijob supervise jobs/                    every *.yml and *.yaml; SIGHUP reads them again
  minijob supervise --restart -1 -- ./app    one command; its exit code is the one of supervise

Exit codes: that of the critical task, else 0 when everything ended well, 1 when something failed.";

const USAGE: &str = "\
minijob supervise [OPTIONS] <FILE>...
       minijob supervise [OPTIONS] -- <COMMAND>...";

/// What `supervise` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub struct Args {
    /// Job files; a directory means its *.yml and *.yaml, `-` is standard input
    #[arg(required_unless_present = "command", conflicts_with = "command", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How they are read.
    #[command(flatten)]
    pub reading: files::Reading,
    /// Passes output on as it is: no prefixes, standard error to standard error
    #[arg(long)]
    pub raw: bool,
    /// Keeps output and tasks' directories here [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Gives tasks of job files all of its own environment too, as -- COMMAND and files of monexec have it
    #[arg(long)]
    pub inherit_env: bool,
    /// How much it logs [default: error]
    #[arg(
        long,
        env = "RUST_LOG",
        default_value = "error",
        value_name = "LEVEL",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub log_level: String,
    /// A command instead of files.
    #[command(flatten)]
    pub command: command::Args,
}

/// Where the jobs come from.
#[derive(Clone, Debug)]
struct Source {
    files: Vec<PathBuf>,
    reading: files::Reading,
    namespace: Option<String>,
    /// What came from the command line never changes.
    command: Option<Job>,
}

impl Source {
    fn of(args: &Args, global: &Global) -> Result<Self, Error> {
        let here = std::env::current_dir().ok();
        let command = args.command.job(global, here.as_deref(), "supervise")?;
        let namespace = global.namespace().map(str::to_owned);
        Ok(Self { files: args.files.clone(), reading: args.reading.clone(), namespace, command })
    }

    /// Reads the jobs, checked as a whole.
    fn read(&self) -> Result<Loaded, Error> {
        let loaded = match &self.command {
            Some(job) => Loaded::only(job.clone()),
            None => files::load(&self.files, &self.reading, self.namespace.as_deref())
                .map_err(|error| files::or_command(error, &self.files, "supervise"))
                .map_err(|error| files::no_harm(error, "nothing was started"))?,
        };
        let clashes = supervise::clashes(&loaded.jobs);
        if clashes.is_empty() {
            return Ok(loaded);
        }
        let error = Error::new(Kind::Invalid, "these jobs cannot run together on one machine");
        Err(error.details(clashes).hint("give one of them another port, or a free one: `{}`"))
    }
}

/// Runs the command.
///
/// # Errors
/// Invalid files before anything is started; what keeps tasks from being run.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let source = Source::of(args, global)?;
    let loaded = source.read()?;
    loaded.tell(Voice::new(global), false);
    tell_rules(&loaded, Voice::new(global));
    let data = Data::open(args.data_dir.as_deref())?;
    let keeper = daemon::keeper::ensure(data.path(), Some(data.removals()))?;
    logging::init(&args.log_level, false, global)?;
    let result = runtime::small(life(args, global, source, &loaded, &data, keeper));
    // Also after a failure: what is left is of no use to anybody.
    let removed = data.close();
    let exit = result?;
    removed?;
    Ok(exit)
}

/// Says of which jobs it is left out where they may run and what they wait for: here is one machine, and no servers that place.
fn tell_rules(loaded: &Loaded, voice: Voice) {
    let is_ruled = |job: &&Job| job.groups.values().any(|group| group.placement != Placement::default());
    for job in loaded.jobs.iter().filter(is_ruled) {
        voice.notice(&format!(
            "{}: its rules of placement choose among nodes; it runs on this machine",
            job.key.name
        ));
    }
    let waits = |job: &&Job| job.groups.values().any(|group| !group.depends_on.is_empty());
    for job in loaded.jobs.iter().filter(waits) {
        voice.notice(&format!(
            "{}: its `depends_on` is left out; without servers all of it starts at once",
            job.key.name
        ));
    }
    let is_fenced = |job: &&Job| job.groups.values().any(proto::model::Group::has_fence);
    for job in loaded.jobs.iter().filter(is_fenced) {
        voice.notice(&format!("{}: its fence is left out; there are no servers to lose", job.key.name));
    }
}

async fn life(
    args: &Args,
    global: &Global,
    source: Source,
    loaded: &Loaded,
    data: &Data,
    keeper: Connector,
) -> Result<Exit, Failure> {
    let broken = |cause: &dyn std::fmt::Display| Error::new(Kind::Internal, format!("cannot start: {cause}"));
    client::supervise::init::reap_if_first().map_err(|cause| broken(&cause))?;
    let signals = listen::Signals::new()?;
    let voice = Voice::new(global);
    let (sinks, output, lines) = Sinks::new();
    let shown = show::Shown::begin(output, lines, args.raw, global).map_err(|cause| broken(&cause))?;
    let environment = environment(args, &source, loaded, voice);
    let config = Config { data_dir: data.path().to_owned(), keeps_output: data.is_kept(), environment };
    let driver = Arc::new(Processes::new(&keeper));
    let status = driver.status();
    let (orders, obeyed) = mpsc::channel(limits::SUPERVISE_ORDERS);
    let listening = listen::Listening::begin(signals, orders, source, voice);
    let work = async {
        let supervisor = Supervisor::start(config, driver, sinks).await;
        let supervisor = supervisor.map_err(|error| Error::new(Kind::Refused, daemon::chain(&error)))?;
        let code = supervisor.run(&loaded.jobs, obeyed).await;
        code.map_err(|gone| Error::new(Kind::Internal, gone.to_string()))
    };
    let code = tokio::select! {
        code = work => code?,
        why = daemon::agent::keeper_is_gone(status) => {
            return Err(daemon::agent::gone(data.path(), &why).into());
        }
    };
    shown.end();
    // It would find out by itself that nobody needs it, some seconds later.
    tokio::task::spawn_blocking(move || client::keeper::dismiss(&keeper)).await.ok();
    Ok(listening.forced().unwrap_or(Exit(code)))
}

/// What tasks have beneath the environment of their own. monexec passes all of its own on, and its files rely on that.
fn environment(args: &Args, source: &Source, loaded: &Loaded, voice: Voice) -> BTreeMap<String, String> {
    let is_usual = source.command.is_some() || loaded.is_all(Format::Monexec);
    if args.inherit_env || is_usual {
        return own_environment();
    }
    if loaded.is_any(Format::Monexec) {
        show::say(
            voice,
            "beside job files those of monexec do not pass the environment on: --inherit-env does",
        );
    }
    BTreeMap::new()
}

/// What a command has of this program's own environment: all but what minijob itself put there.
fn own_environment() -> BTreeMap<String, String> {
    let all = std::env::vars_os();
    let texts = all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    texts.filter(|(name, _)| !name.starts_with("MINIJOB_")).collect()
}
