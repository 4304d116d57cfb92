//! The files of the daemons and of people, and what flags and variables make of them: flag over variable over file over default.

pub mod agent; // agent.yml
pub mod contexts; // ~/.config/minijob/contexts.yml
pub mod server; // server.yml

mod entry; // a key with its value and where it came from; what differs between two readings
mod file; // finding and reading a file
mod origin; // where a value came from
mod table; // a mapping whose keys are checked
mod values; // paths, addresses, amounts

#[cfg(test)]
pub(crate) mod testing; // a file and flags, as a person gives both

#[cfg(test)]
pub use entry::print;
pub use entry::{changes, log_changes, log_refused, show};
pub use origin::{Given, Origin, Setting};
pub use values::Amounts;

use std::path::PathBuf;

/// The directory of the machine's own files.
pub const SYSTEM_DIR: &str = "/etc/minijob";

/// Which file, and whether only to show what would hold.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The file that the rest comes from [default: the one in /etc/minijob, where there is one]
    #[arg(long, env = "MINIJOB_CONFIG", value_name = "FILE", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// Shows what would hold and where each value came from, and ends
    #[arg(long)]
    pub print_config: bool,
}
