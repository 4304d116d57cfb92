//! `minijob completion`: what lets a shell complete commands.

use clap::{CommandFactory as _, ValueEnum};
use proto::error::{Error, Kind};

use crate::args::{self, Global};
use crate::exit::{Exit, Failure};
use crate::output::Out;

const EXAMPLES: &str = "\
Examples:
  minijob completion bash > /etc/bash_completion.d/minijob
  minijob completion zsh > \"${fpath[1]}/_minijob\"
  minijob completion fish > ~/.config/fish/completions/minijob.fish";

/// What `completion` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// For which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// A shell that can complete commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
}

/// Runs the command.
///
/// # Errors
/// [`Kind::Invalid`] with `--json`: a script is no document. [`Failure::Output`].
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    if global.json {
        let error = Error::new(Kind::Invalid, "what a shell reads is a script, and never JSON");
        return Err(error.hint("leave out --json").into());
    }
    Out::new(global).bytes(&script(args.shell))?;
    Ok(Exit::DONE)
}

fn script(shell: Shell) -> Vec<u8> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut args::Args::command(), "minijob", &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell)).expect("text");
            for command in args::Args::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell:?} {}", command.get_name());
            }
        }
    }
}
