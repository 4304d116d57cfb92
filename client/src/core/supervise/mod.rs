//! What an agent without servers decides by itself: what of some job files is to run, what a new reading of them changes, when
//! all is over and with which code, and what people are told.
//!
//! Reading order: `slots` is what job files ask for, `reconcile` what to do about it, `verdict` when it is over, `lines` the words.

pub mod lines;
pub mod reconcile;
pub mod slots;
pub mod verdict;
