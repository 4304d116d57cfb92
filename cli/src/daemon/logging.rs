//! What daemons say, on standard error.

use std::io::IsTerminal;

use proto::error::{Error, Kind};
use proto::yaml::{Node, Reader};
use tracing_subscriber::EnvFilter;

use crate::args::{Color, Global};
use crate::config::{Given, Setting};
use crate::output::Paint;

/// What is logged unless told otherwise.
const LEVEL: &str = "info,openraft=off";

/// How much daemons say.
#[derive(Clone, Debug, clap::Args)]
// The group of the command that these belong to has this name already.
#[group(skip)]
pub struct Args {
    /// What is logged: error, warn, info, debug or trace, also per module (info,server=debug) [default: info,openraft=off]
    #[arg(long, env = "RUST_LOG", value_name = "LEVEL", hide_env_values = true)]
    pub log_level: Option<String>,
    /// Logs JSON, one document per line
    #[arg(long, env = "MINIJOB_LOG_JSON", value_parser = clap::builder::FalseyValueParser::new(), hide_env_values = true)]
    pub log_json: bool,
}

/// Chooses the level between what an argument says, what the file says and the default; an empty one is none.
#[must_use]
pub fn level(given: &Given, args: &Args, file: Option<Setting<String>>) -> Setting<String> {
    let asked = args.log_level.clone().filter(|level| !level.is_empty());
    given.choose("log_level", asked, file, LEVEL.to_owned())
}

/// Reads a level in a file.
pub fn level_in_file(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "log_level")?;
    match filter(text) {
        Ok(_) => Some(text.to_owned()),
        Err(error) => {
            let hint = "write error, warn, info, debug or trace, also per module: `info,server=debug`";
            reader.fault(node.at, error.message, hint);
            None
        }
    }
}

/// Changes what is logged by the running process.
pub struct Levels(Box<dyn Fn(EnvFilter) -> bool + Send + Sync>);

impl Levels {
    /// Logs by this level from now on; one that is none changes nothing.
    pub fn set(&self, level: &str) {
        let changed = filter(level).is_ok_and(&self.0);
        if !changed {
            tracing::warn!("what is logged stays as it was: `{level}` cannot be taken over");
        }
    }
}

/// Begins to log. A second call changes nothing.
///
/// # Errors
/// [`Kind::Invalid`] for a level that is none.
pub fn init(level: &str, json: bool, global: &Global) -> Result<Levels, Error> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(level)?).with_writer(std::io::stderr);
    // A second subscriber in one process (tests) is refused by the library, and the first one is as good.
    if json {
        let builder = builder.json().with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = builder.try_init();
        return Ok(Levels(Box::new(move |filter| handle.reload(filter).is_ok())));
    }
    let builder = builder.with_ansi(coloured(global.color)).with_filter_reloading();
    let handle = builder.reload_handle();
    let _ = builder.try_init();
    Ok(Levels(Box::new(move |filter| handle.reload(filter).is_ok())))
}

fn filter(level: &str) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(level)
        .map_err(|cause| Error::new(Kind::Invalid, format!("`{level}` is not a log level: {cause}")))
}

fn coloured(wish: Color) -> bool {
    let stderr = std::io::stderr();
    Paint::of(wish, &stderr).0 && (wish == Color::Always || stderr.is_terminal())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_help_names_the_level_that_holds() {
        for daemon in ["server", "agent"] {
            let mut program = crate::args::Args::command();
            let command = program.find_subcommand_mut(daemon).expect("a daemon");
            let help = command.render_help().to_string();
            assert!(help.contains(&format!("[default: {LEVEL}]")), "{help}");
        }
    }
}
