//! `minijob man`: the manual, made from the same words as `--help`.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use proto::error::{Error, Kind};

use crate::args::{self, Global};
use crate::exit::{Exit, Failure};
use crate::output::{self, Out};

const EXAMPLES: &str = "\
Examples:
  minijob man | man -l -
  minijob man --dir /usr/local/share/man/man1";

/// What `man` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Writes one page per command into this directory, which is made if it is missing
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// A page of the manual.
struct Page {
    file: String,
    text: Vec<u8>,
}

/// Runs the command.
///
/// # Errors
/// [`Kind::Refused`] when the directory cannot be written; [`Failure::Output`].
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let pages = pages().map_err(Failure::Output)?;
    let mut out = Out::new(global);
    let Some(dir) = &args.dir else {
        if let Some(first) = pages.first() {
            out.bytes(&first.text)?;
        }
        return Ok(Exit::DONE);
    };
    write(dir, &pages).map_err(|cause| {
        Error::new(Kind::Refused, format!("cannot write into {}: {cause}", dir.display()))
    })?;
    out.line(&format!("{} in {}", output::count(pages.len(), "page"), dir.display()))?;
    Ok(Exit::DONE)
}

fn write(dir: &Path, pages: &[Page]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    pages.iter().try_for_each(|page| std::fs::write(dir.join(&page.file), &page.text))
}

/// Makes the page of the program and those of its commands: `minijob.1`, `minijob-run.1`.
fn pages() -> std::io::Result<Vec<Page>> {
    // `help` shows what these pages hold.
    let mut program = args::Args::command().disable_help_subcommand(true);
    // What is shared by all commands becomes known to each of them.
    program.build();
    let mut pages = Vec::new();
    add(&program, "minijob", &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, name: &str, pages: &mut Vec<Page>) -> std::io::Result<()> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    pages.push(Page { file: format!("{name}.1"), text });
    command.get_subcommands().try_for_each(|inner| add(inner, &format!("{name}-{}", inner.get_name()), pages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_flags() {
        let pages = pages().expect("memory takes everything");
        let page = |file: &str| {
            let page = pages.iter().find(|page| page.file == file).unwrap_or_else(|| panic!("no {file}"));
            String::from_utf8(page.text.clone()).expect("text")
        };
        for command in args::Args::command().get_subcommands() {
            page(&format!("minijob-{}.1", command.get_name()));
        }
        assert!(page("minijob-run.1").contains("\\-\\-detach"));
        assert!(page("minijob-run.1").contains("Examples:"));
        assert!(page("minijob.1").contains("Exit codes"));
        page("minijob-context-use.1");
        assert!(!pages.iter().any(|page| page.file.contains("help")));
    }
}
