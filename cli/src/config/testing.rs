//! Configurations for tests: a file's text and flags, as a person would give both.

use clap::Parser as _;
use proto::error::Error;

use super::{agent, server};
use crate::args::{Args, Command};

fn args(daemon: &str, text: &str, flags: &[&str]) -> (tempfile::NamedTempFile, Args) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    let path = file.path().display().to_string();
    let line = ["minijob", daemon, "--config", &path].into_iter().chain(flags.iter().copied());
    let line: Vec<std::ffi::OsString> = line.map(Into::into).collect();
    let _ = Args::try_parse_from(&line).expect("valid flags");
    (file, crate::args::read(&line).expect("valid flags"))
}

/// Reads a server's configuration.
pub(super) fn server(text: &str, flags: &[&str]) -> Result<server::Config, Error> {
    let (_file, args) = args("server", text, flags);
    let Command::Server(command) = args.command else { panic!("another command") };
    server::load(&command.flags, &args.global)
}

/// Reads an agent's configuration.
pub(super) fn agent(text: &str, flags: &[&str]) -> Result<agent::Config, Error> {
    let (_file, args) = args("agent", text, flags);
    let Command::Agent(command) = args.command else { panic!("another command") };
    agent::load(&command.flags, &args.global)
}

/// Checks that a file's text is valid for a daemon.
pub fn check(daemon: &str, text: &str) {
    let result = match daemon {
        "server" => server(text, &[]).map(drop),
        _ => agent(text, &[]).map(drop),
    };
    result.unwrap_or_else(|error| panic!("{daemon}: {error:?}\n{text}"));
}
