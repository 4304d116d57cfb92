//! `minijob operator key`: the secret by which the members of a cluster know each other.

use std::path::Path;

use proto::error::{Error, Kind};
use proto::key::ClusterKey;

use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::output::Out;

const EXAMPLES: &str = "\
Examples:
  minijob operator key /etc/minijob/cluster.key
  minijob operator key - | ssh b 'umask 077; cat > /etc/minijob/cluster.key'

Every server of the cluster gets the same file. A file that is there already is never overwritten.";

/// What `operator key` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The new file, which only its owner reads; `-`: standard output
    #[arg(value_name = "FILE")]
    pub file: String,
}

/// Runs the command.
///
/// # Errors
/// [`Kind::Refused`] for a file that is there already or cannot be written.
pub(super) fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let refused = |error: proto::key::KeyError| Error::new(Kind::Refused, error.to_string());
    let key = ClusterKey::generate().map_err(refused)?;
    let mut out = Out::new(global);
    if args.file == "-" {
        out.line(&key.reveal())?;
        return Ok(Exit::DONE);
    }
    key.write_new(Path::new(&args.file)).map_err(refused)?;
    if out.json {
        out.document(&serde_json::json!({ "changed": true, "file": args.file }))?;
    } else {
        out.line(&format!(
            "{} holds a new key. Copy it to every server, and give it with --key-file.",
            args.file
        ))?;
    }
    Ok(Exit::DONE)
}
