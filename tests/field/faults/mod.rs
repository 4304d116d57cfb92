//! What can happen to a machine. One file per kind of fault; each can be undone.

pub(crate) mod clock;
pub(crate) mod delay;
pub(crate) mod disk;
mod freeze;
mod kill;
mod partition;
