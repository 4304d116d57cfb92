//! What the agent remembers over its own death: one file per allocation, one for the position, one for its id.
//!
//! Reading order: `file` writes bytes whole or not at all; `data_dir` is the layout and the lock; `record` is what is
//! known of an allocation, as bytes; `allocs` are the records on disk; `position` is the newest order seen;
//! `gauge` says how full the disk is.

pub mod allocs;
pub mod data_dir;
pub mod file;
pub mod gauge;
pub mod position;
pub mod record;
