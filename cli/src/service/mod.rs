//! Server and agent as system services of this machine.

mod files; // what they consist of on disk
mod systemd; // what starts them
mod units; // the unit files' text

pub use files::{ALL, File, Kind, data_dirs, planned, put, remove_units};
pub use systemd::{Systemd, is_booted};
pub use units::{AGENT, SERVER};
