//! The command line's grammar: what every command shares, and the list of commands.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use proto::error::{Error, Kind};
use proto::ids::JobKey;
use proto::model::DEFAULT_NAMESPACE;
use proto::names;

use crate::commands::{
    agent, alloc, completion, context, convert, dev, down, events, exec, export, history, logs, man, node,
    operator, plan, restart, revert, run, scale, schema, server, signal, start, status, stop, supervise, up,
    validate, version, why,
};
use crate::config::contexts::Context;
use crate::config::{Given, Origin};
use crate::output::Voice;
use crate::usage;

const AFTER_HELP: &str = "\
Begin with:
  minijob dev hello.yml            try it out: server and agent in one process
  minijob run hello.yml            submit a job and follow it until it is healthy
  minijob status                   what runs, the unhealthy first
  minijob logs -f hello            what it prints

Exit codes: 0 done, 1 it failed, 2 wrong usage or invalid file, 3 not found, 4 no server reachable, 5 not permitted, 130 Ctrl-C.";

/// What was asked for.
#[derive(Debug, Parser)]
#[command(
    name = "minijob",
    version,
    about = "Puts work on the right machines, keeps it running, and tells when it does not"
)]
#[command(after_help = AFTER_HELP, propagate_version = false)]
pub struct Args {
    /// What every command shares.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command shares.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where the servers are; several are tried in turn [default: http://127.0.0.1:4650]
    #[arg(long, global = true, env = "MINIJOB_ADDR", value_name = "URL,..", hide_env_values = true)]
    pub addr: Option<String>,
    /// Which of your clusters is meant, by its name in ~/.config/minijob/contexts.yml [default: its `current`]
    #[arg(short, long, global = true, env = "MINIJOB_CONTEXT", value_name = "NAME", hide_env_values = true)]
    pub context: Option<String>,
    /// What that name stands for; filled in before a command that asks servers.
    #[arg(skip)]
    pub chosen: Option<Context>,
    /// What proves who you are [default: the token file of a server on this machine, where it may be read]
    #[arg(long, global = true, env = "MINIJOB_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The CA of the cluster, by which its servers are believed: any server's ca.pem [default: of a server on this machine]
    #[arg(long, global = true, env = "MINIJOB_CA_FILE", value_name = "FILE", hide_env_values = true)]
    pub ca_file: Option<PathBuf>,
    /// The namespace of the job [default: default]
    #[arg(long, global = true, env = "MINIJOB_NAMESPACE", value_parser = namespace, hide_env_values = true)]
    pub namespace: Option<String>,
    /// Prints JSON, errors too
    #[arg(long, global = true)]
    pub json: bool,
    /// Reads what the server that is asked has, be it old: for when none leads
    #[arg(long, global = true)]
    pub stale: bool,
    /// When to use colour
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_possible_values = false
    )]
    pub color: Color,
}

/// Reads a namespace; an empty one is none.
fn namespace(text: &str) -> Result<String, String> {
    if text.is_empty() || names::is_name(text) {
        return Ok(text.to_owned());
    }
    Err(names::advice(names::RULE, text))
}

/// Reads the name of a server or a node.
///
/// # Errors
/// The rule, for a text that breaks it.
pub fn machine(text: &str) -> Result<String, String> {
    if names::is_machine_name(text) {
        Ok(text.to_owned())
    } else {
        Err(names::advice(names::MACHINE_RULE, text))
    }
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Global {
    /// Forgets what variables say where a flag names a context: the flag is meant for this one command.
    fn yield_to_context(&mut self, given: &Given) {
        let by_flag = |name| matches!(given.origin(name), Some(Origin::Flag(_)));
        if by_flag("context") {
            self.addr.take_if(|_| !by_flag("addr"));
            self.token.take_if(|_| !by_flag("token"));
            self.ca_file.take_if(|_| !by_flag("ca_file"));
            self.namespace.take_if(|_| !by_flag("namespace"));
        }
    }

    /// Returns the address that was given; an empty variable is none.
    #[must_use]
    pub fn addr(&self) -> Option<&str> {
        self.addr.as_deref().map(str::trim).filter(|text| !text.is_empty())
    }

    /// Returns the namespace that was asked for, if any; an empty variable is none.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref().filter(|name| !name.is_empty())
    }

    /// Splits `namespace/name`, as events show it; a name alone is of the namespace asked for, or of the default one.
    #[must_use]
    pub fn qualify<'a>(&'a self, text: &'a str) -> (&'a str, &'a str) {
        text.split_once('/').unwrap_or((self.namespace().unwrap_or(DEFAULT_NAMESPACE), text))
    }

    /// Returns the job that a text means, which is also how it is shown.
    #[must_use]
    pub fn key(&self, text: &str) -> JobKey {
        let (namespace, name) = self.qualify(text);
        JobKey::new(namespace, name)
    }
}

/// The commands, in the order in which a new user meets them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tries it out: server and agent in one process; Ctrl-C stops everything it started
    Dev(dev::Args),
    /// Submits job files and follows them until they are healthy or have failed
    Run(run::Args),
    /// Checks job files without a server
    Validate(validate::Args),
    /// Prints other tools' files as job files
    Convert(convert::Args),
    /// Prints the JSON Schema of job files, by which editors check them
    Schema(schema::Args),
    /// Shows all jobs, the unhealthy first; or one job, or one allocation
    Status(status::Args),
    /// Shows what tasks print
    Logs(logs::Args),
    /// Runs a command beside a running task
    Exec(exec::Args),
    /// Sends a signal to a running task
    Signal(signal::Args),
    /// Stops a job
    Stop(stop::Args),
    /// Starts a stopped job again, as it was
    Start(start::Args),
    /// Restarts a job, one allocation after the other, or one allocation
    Restart(restart::Args),
    /// Changes how many allocations a group wants
    Scale(scale::Args),
    /// Shows what submitting job files would change, and where their work would go
    Plan(plan::Args),
    /// Shows the versions of a job: when, by whom, what changed
    History(history::Args),
    /// Makes an earlier version of a job a new one
    Revert(revert::Args),
    /// Prints a version of a job as a job file
    Export(export::Args),
    /// Shows what happened
    Events(events::Args),
    /// Runs jobs on this machine or in this container without servers
    Supervise(supervise::Args),
    /// Tells why a job or an allocation is as it is
    Why(why::Args),
    /// Shows one allocation
    Alloc(alloc::Args),
    /// Shows nodes, and says whether they take work
    Node(node::Args),
    /// Shows and changes what all servers go by
    Operator(operator::Args),
    /// Runs a server; `server members` shows those of the cluster
    Server(server::Args),
    /// Runs an agent, which runs tasks on this machine
    Agent(agent::Args),
    /// Installs and starts server and agent as system services of this machine
    Up(up::Args),
    /// Stops and removes the system services that `up` installed
    Down(down::Args),
    /// Shows the clusters that you work with, and chooses one
    Context(context::Args),
    /// Prints what lets a shell complete commands
    Completion(completion::Args),
    /// Prints the manual, or writes a page for every command
    Man(man::Args),
    /// Shows the version of this program
    Version(version::Args),
}

/// Reads the command line; answers `--help` and wrong usage by itself.
///
/// # Errors
/// The exit code, when there is nothing left to do.
pub fn parse() -> Result<Args, ExitCode> {
    let given: Vec<OsString> = std::env::args_os().collect();
    read(&given).map_err(|error| {
        let json = given.iter().any(|arg| arg == "--json");
        if json && error.use_stderr() {
            let text = error.render().to_string();
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let refused = Error::new(Kind::Invalid, message).details(lines.map(str::to_owned).collect());
            Voice::json().error(&refused);
            return ExitCode::from(Kind::Invalid.exit_code());
        }
        // A closed pipe (`minijob --help | head -1`) is no failure.
        let _ = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Kind::Invalid.exit_code()))
    })
}

/// Applies the grammar to a command line, the program's name first.
///
/// # Errors
/// Wrong usage; also `--help` and `--version`, which are answers.
pub fn read(given: &[OsString]) -> Result<Args, clap::Error> {
    let mut grammar = Args::command().color(colour_choice(given));
    let matches = grammar.try_get_matches_from_mut(given).map_err(|error| usage::explained(error, given))?;
    let mut args = Args::from_arg_matches(&matches)?;
    // The daemons say where each of their values came from, which the parsed values do not know.
    let chosen = matches.subcommand().and_then(|(name, own)| Some((grammar.find_subcommand(name)?, own)));
    let given = chosen.map(|(command, own)| Given::of(command, own)).unwrap_or_default();
    args.global.yield_to_context(&given);
    match &mut args.command {
        Command::Server(server) => server.flags.given = given,
        Command::Agent(agent) => agent.flags.given = given,
        _ => {}
    }
    Ok(args)
}

/// Returns the colour of wrong usage and of help.
#[must_use]
pub fn colour_choice(given: &[OsString]) -> clap::ColorChoice {
    match color_asked(given) {
        Color::Auto => clap::ColorChoice::Auto,
        Color::Always => clap::ColorChoice::Always,
        Color::Never => clap::ColorChoice::Never,
    }
}

/// Returns what `--color` says before the grammar is applied, because wrong usage is shown in colour too.
fn color_asked(given: &[OsString]) -> Color {
    let texts: Vec<&str> = given.iter().filter_map(|arg| arg.to_str()).collect();
    let inline = texts.iter().find_map(|text| text.strip_prefix("--color="));
    let apart = texts.windows(2).find(|pair| pair[0] == "--color").map(|pair| pair[1]);
    inline.or(apart).and_then(|word| Color::from_str(word, false).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_job_may_be_written_with_its_namespace() {
        let global = Global { namespace: Some("dmz".into()), ..Global::default() };
        assert_eq!(global.qualify("web"), ("dmz", "web"));
        assert_eq!(global.qualify("prod/web"), ("prod", "web"));
        assert_eq!(Global::default().qualify("web"), ("default", "web"));
        let empty = Global { namespace: Some(String::new()), ..Global::default() };
        assert_eq!(empty.namespace(), None, "an empty variable names nothing");
    }
}
