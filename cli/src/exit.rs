//! How a command ends: one table from what happened to what the shell sees.

use std::io;
use std::process::ExitCode;

use proto::error::{Error, Kind};

/// The exit code of a command that did its work, whatever it found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// It is done.
    pub const DONE: Self = Self(0);
    /// It was asked to bring something about, and that failed; what failed has been said.
    pub const FAILED: Self = Self(1);
    /// A person pressed Ctrl-C: 128 and the number of SIGINT, as shells have it.
    pub const INTERRUPTED: Self = Self(130);
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Refused, by a server or by ourselves.
    #[error("{0}")]
    Refused(#[from] Error),
    /// What a command was to run somewhere could not be run: told as a refusal, with the exit code that a shell would give.
    #[error("{0}")]
    Ended(Error, Exit),
    /// Standard output takes no more.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

impl Failure {
    /// Returns what to tell and the exit code; nothing to tell when the reader of a pipe simply has gone (`| head`).
    #[must_use]
    pub fn verdict(&self) -> (Option<Error>, u8) {
        match self {
            Self::Refused(error) => (Some(error.clone()), error.kind.exit_code()),
            Self::Ended(error, exit) => (Some(error.clone()), exit.0),
            Self::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe => (None, Exit::DONE.0),
            Self::Output(cause) => {
                let message = format!("{self}: {cause}");
                (Some(Error::new(Kind::Internal, message)), Exit::FAILED.0)
            }
        }
    }
}

/// Says on standard error what went wrong, and returns what the process ends with.
#[must_use]
pub fn finish(result: Result<Exit, Failure>, voice: crate::output::Voice) -> ExitCode {
    match result {
        Ok(exit) => ExitCode::from(exit.0),
        Err(failure) => {
            let (told, code) = failure.verdict();
            if let Some(error) = told {
                voice.error(&error);
            }
            ExitCode::from(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_the_exit_code_of_its_kind() {
        let code = |kind| Failure::Refused(Error::new(kind, "x")).verdict().1;
        assert_eq!(code(Kind::Refused), 1);
        assert_eq!(code(Kind::Invalid), 2);
        assert_eq!(code(Kind::NotFound), 3);
        assert_eq!(code(Kind::Unavailable), 4);
        assert_eq!(code(Kind::Forbidden), 5);
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure_but_a_full_disk_is() {
        let gone = Failure::Output(io::Error::from(io::ErrorKind::BrokenPipe)).verdict();
        assert_eq!((gone.0.is_none(), gone.1), (true, 0));
        let full = Failure::Output(io::Error::from(io::ErrorKind::StorageFull)).verdict();
        assert_eq!((full.0.is_some(), full.1), (true, 1));
    }
}
