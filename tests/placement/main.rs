//! Placement, proved from outside: the shipped decisions beside a reference that is written from the documentation, laws over many
//! rounds of random histories, and plans that a person can read.
//!
//! `PROPTEST_CASES=5000` plays more histories.

// A test that unwraps fails with the place and the reason, which is what it is for.
#![allow(clippy::unwrap_used, missing_docs)]

mod agrees;
mod history;
mod laws;
mod plans;
mod plots;
mod reference;
mod turns;
mod world;
