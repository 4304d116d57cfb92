//! `minijob version`: needs no server and no runtime.

use proto::view::Version;

use crate::args::Global;
use crate::daemon;
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
    let version = Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        wire: proto::wire::WIRE_VERSION,
        state: daemon::STATE_VERSION,
        disk: daemon::DISK_VERSION,
    };
    if out.json {
        out.document(&version)?;
    } else {
        let Version { version, wire, state, disk } = version;
        out.line(&format!("minijob {version} (wire {wire}, state {state}, disk {disk})"))?;
    }
    Ok(Exit::DONE)
}
