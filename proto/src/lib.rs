//! The language of minijob: what all its programs agree on.
//!
//! Reading order: [`ids`], [`names`], [`signals`] and [`units`] are the words, [`time`] the one place that reads the clock, [`model`] the nouns,
//! [`expr`] what is said of nodes, //! [`jobfile`] turns YAML into a [`model::Job`], [`convert`] other tools' files, [`envfile`] reads environment files, [`wire`] is
//! the contract between programs, [`view`] what people and scripts read, and [`error`] how a refusal is said on every transport.
#![forbid(unsafe_code)]

pub mod convert;
pub mod envfile;
pub mod error;
pub mod expr;
pub mod ids;
pub mod jobfile;
pub mod key;
pub mod limits;
pub mod model;
pub mod names;
pub mod signals;
pub mod time;
/// What lets people in.
pub mod token;
pub mod units;
pub mod view;
pub mod wire;

pub use jobfile::yaml;
