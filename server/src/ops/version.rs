//! What this binary speaks.

use proto::view::Version;
use proto::wire::WIRE_VERSION;

use crate::core::state::STATE_VERSION;
use crate::raft::DISK_VERSION;

/// Returns the version of the program, and the newest wire, state and disk formats that it knows.
#[must_use]
pub fn version() -> Version {
    Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        wire: WIRE_VERSION,
        state: STATE_VERSION,
        disk: DISK_VERSION,
    }
}
