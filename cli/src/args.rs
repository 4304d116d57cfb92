//! The command line's grammar: what every command shares, and the list of commands.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use proto::error::{Error, Kind};
use proto::model::DEFAULT_NAMESPACE;
use proto::names;

use crate::commands::{agent, dev, events, logs, run, server, status, stop, validate, version};
use crate::output::Voice;

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
#[command(after_help = AFTER_HELP, propagate_version = false, disable_help_subcommand = true)]
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
    /// What proves who you are [default: the token file of a server on this machine, where it may be read]
    #[arg(long, global = true, env = "MINIJOB_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The namespace of the job [default: default]
    #[arg(long, global = true, env = "MINIJOB_NAMESPACE", value_parser = namespace, hide_env_values = true)]
    pub namespace: Option<String>,
    /// Prints JSON, errors too
    #[arg(long, global = true)]
    pub json: bool,
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
    /// Shows all jobs, the unhealthy first; or one job, or one allocation
    Status(status::Args),
    /// Shows what tasks print
    Logs(logs::Args),
    /// Stops a job
    Stop(stop::Args),
    /// Shows what happened
    Events(events::Args),
    /// Runs a server
    Server(server::Args),
    /// Runs an agent, which runs tasks on this machine
    Agent(agent::Args),
    /// Shows the version of this program
    Version(version::Args),
}

/// Reads the command line; answers `--help` and wrong usage by itself.
///
/// # Errors
/// The exit code, when there is nothing left to do.
pub fn parse() -> Result<Args, ExitCode> {
    let given: Vec<OsString> = std::env::args_os().collect();
    let color = color_asked(&given);
    let choice = match color {
        Color::Auto => clap::ColorChoice::Auto,
        Color::Always => clap::ColorChoice::Always,
        Color::Never => clap::ColorChoice::Never,
    };
    let command = Args::command().color(choice);
    let parsed = command.try_get_matches_from(&given).and_then(|matches| Args::from_arg_matches(&matches));
    parsed.map_err(|error| {
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
