//! `minijob`: the only program. Commands ask servers; `server`, `agent` and `dev` are the daemons.

mod address;
mod args;
mod commands;
mod config;
mod connect;
mod daemon;
mod devnote;
mod exit;
mod files;
mod follow;
mod limits;
mod merge;
mod output;
mod read;
mod runtime;
mod service;
mod terminal;
mod token;
mod trust;
mod usage;

use std::process::ExitCode;

// No runtime here: the keeper of `dev` and `agent` is forked before any thread exists, and `version` needs none.
fn main() -> ExitCode {
    match args::parse() {
        Ok(args) => commands::dispatch(args),
        Err(code) => code,
    }
}
