//! Configurations for tests: a file's text and flags, as a person would give both; and that the document about them is right.

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
    server::load(&command.flags)
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

const DOCUMENT: &str = include_str!("../../../docs/config.md");

#[test]
fn every_file_in_the_document_is_valid() {
    let mut seen = Vec::new();
    for snippet in DOCUMENT.split("```yml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        let name = snippet.lines().next().unwrap_or_default();
        match name {
            "# server.yml" => check("server", snippet),
            "# agent.yml" => check("agent", snippet),
            "# contexts.yml" => drop(super::contexts::of(snippet).expect("valid")),
            other => panic!("which file is {other}?"),
        }
        seen.push(name);
    }
    assert_eq!(seen, ["# server.yml", "# agent.yml", "# contexts.yml"]);
}

#[test]
fn the_document_has_every_key_with_its_flag_and_variable_and_whether_sighup_takes_it_over() {
    let grammar = <Args as clap::CommandFactory>::command();
    let entries = [
        ("server", server("", &[]).expect("valid").entries()),
        ("agent", agent("", &[]).expect("valid").entries()),
    ];
    for (daemon, entries) in entries {
        let title = format!("## The {daemon}");
        let section =
            DOCUMENT.split(&title).nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
        let command = grammar.find_subcommand(daemon).expect("there is one");
        for entry in entries {
            let begin = format!("| `{}` |", entry.key);
            let line = section.lines().find(|line| line.starts_with(&begin));
            let line = line.unwrap_or_else(|| panic!("{daemon}: no {}", entry.key));
            assert_eq!(line.contains("**SIGHUP**"), entry.live, "{line}");
            let argument = entry.key.replace('.', "_");
            let argument = command.get_arguments().find(|known| known.get_id() == argument.as_str());
            let argument = argument.unwrap_or_else(|| panic!("{daemon}: {} has no flag", entry.key));
            let flag = format!("`--{}", argument.get_long().expect("a flag"));
            let variable = argument.get_env().expect("a variable").to_string_lossy().into_owned();
            assert!(line.contains(&flag) && line.contains(&format!("`{variable}`")), "{line}");
        }
    }
}
