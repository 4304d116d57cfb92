//! What daemons say, on standard error.

use std::io::IsTerminal;

use proto::error::{Error, Kind};
use tracing_subscriber::EnvFilter;

use crate::args::{Color, Global};
use crate::output::Paint;

/// How much daemons say.
#[derive(Clone, Debug, clap::Args)]
// The group of the command that these belong to has this name already.
#[group(skip)]
pub struct Args {
    /// What is logged: error, warn, info, debug or trace, also per module (info,server=debug)
    #[arg(
        long,
        env = "RUST_LOG",
        default_value = "info,openraft=off",
        value_name = "LEVEL",
        hide_env_values = true
    )]
    pub log_level: String,
    /// Logs JSON, one document per line
    #[arg(long, env = "MINIJOB_LOG_JSON", value_parser = clap::builder::FalseyValueParser::new(), hide_env_values = true)]
    pub log_json: bool,
}

/// Begins to log. A second call changes nothing.
///
/// # Errors
/// [`Kind::Invalid`] for a level that is none.
pub fn init(args: &Args, global: &Global) -> Result<(), Error> {
    let level = if args.log_level.is_empty() { "info,openraft=off" } else { &args.log_level };
    let filter = EnvFilter::try_new(level)
        .map_err(|cause| Error::new(Kind::Invalid, format!("`{level}` is not a log level: {cause}")))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process (tests) is refused by the library, and the first one is as good.
    let _ = if args.log_json {
        builder.json().try_init()
    } else {
        builder.with_ansi(coloured(global.color)).try_init()
    };
    Ok(())
}

fn coloured(wish: Color) -> bool {
    let stderr = std::io::stderr();
    Paint::of(wish, &stderr).0 && (wish == Color::Always || stderr.is_terminal())
}
