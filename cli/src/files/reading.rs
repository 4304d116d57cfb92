//! How files are read: in which format, and what stands for their variables.

use clap::ValueEnum;
use proto::convert;

use super::Variables;

/// How files are read, as every command takes it that reads job files.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Reading {
    /// Values of variables.
    #[command(flatten)]
    pub variables: Variables,
    /// What the files are [default: what they look like]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,
}

/// A format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Job files.
    Job,
    /// Files of monexec.
    Monexec,
}

impl From<Format> for convert::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Job => Self::Job,
            Format::Monexec => Self::Monexec,
        }
    }
}
