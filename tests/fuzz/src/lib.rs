//! What the targets share: seeds made by the real encoders, inputs of several messages, and a small cluster to work on.

mod seeds;
mod world;

pub use seeds::{join, parts, seed};
pub use world::{commands, job, status, world};
