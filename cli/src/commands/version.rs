//! `minijob version`: needs no server and no runtime.

use proto::view::Version;

use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::output::Out;

/// What `version` is asked.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// [`Failure::Output`].
pub fn main(_: &Args, global: &Global) -> Result<Exit, Failure> {
    let mut out = Out::new(global);
    let version = server::ops::version();
    if out.json {
        out.document(&version)?;
    } else {
        let Version { version, wire, state, disk } = version;
        out.line(&format!("minijob {version} (wire {wire}, state {state}, disk {disk})"))?;
    }
    Ok(Exit::DONE)
}
