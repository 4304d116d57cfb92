//! Server and agent as system services of this machine.

mod files; // what they consist of on disk
mod setup; // what they are to be
mod systemd; // what starts them
mod units; // the unit files' text

pub use files::{File, Kind, below, data_dirs, planned, put, remove_units};
pub use setup::{Own, Setup};
pub use systemd::{Systemd, is_booted};
pub use units::{AGENT, SERVER};
