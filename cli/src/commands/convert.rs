//! `minijob convert`: other tools' files as job files.

use std::path::PathBuf;

use clap::ValueEnum;
use proto::convert::Note;
use proto::error::{Error, Kind};
use serde::Serialize;

use super::validate;
use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::files::{self, Checked, Reading};
use crate::output::{Out, Voice};

const EXAMPLES: &str = "\
Examples:
  minijob convert monexec shop.yaml > shop.yml    what has no counterpart is named on standard error
  minijob convert monexec a.yaml b.yaml           jobs of several files, parted by `---`

`minijob run` and `supervise` take such files as they are.";

/// What `convert` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Whose files they are
    #[arg(value_enum, value_name = "FORMAT")]
    pub format: Tool,
    /// The files; a directory means its *.yml and *.yaml, `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// A tool whose files are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tool {
    /// The supervisor monexec.
    Monexec,
    /// Not yet: refused by name.
    #[value(hide = true)]
    Compose,
    /// Not yet: refused by name.
    #[value(hide = true)]
    Nomad,
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    files: Vec<FileDocument<'a>>,
}

#[derive(Serialize)]
struct FileDocument<'a> {
    file: &'a str,
    /// Its jobs as a job file; empty where it holds none.
    job_file: String,
    /// What has no counterpart.
    notes: &'a [Note],
}

/// Runs the command: prints the job files of all files once all are right, and on standard error what they leave out.
///
/// # Errors
/// [`Kind::Invalid`]: a format that is not converted yet; every fault of every file.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let format = match args.format {
        Tool::Monexec => files::Format::Monexec,
        Tool::Compose => return Err(later("docker-compose", "containers come with a later version").into()),
        Tool::Nomad => return Err(later("Nomad", "that comes with a later version").into()),
    };
    let reading = Reading { format: Some(format), ..Reading::default() };
    let checked = files::check(&args.files, &reading, global.namespace());
    if let Some(error) = files::refusal(&checked) {
        return Err(error.hint("nothing was converted").into());
    }
    let mut out = Out::new(global);
    if out.json {
        out.document(&Document { files: checked.iter().map(document).collect() })?;
    } else {
        out.bytes(validate::explained(&checked).as_bytes())?;
    }
    files::tell_notes(&checked, Voice::new(global));
    Ok(Exit::DONE)
}

fn later(tool: &str, when: &str) -> Error {
    let message = format!("files of {tool} are not converted yet: {when}");
    Error::new(Kind::Invalid, message)
        .hint("docs/job-file.md says how a job file looks; `monexec` is converted")
}

fn document(checked: &Checked) -> FileDocument<'_> {
    let job_file = validate::explained(std::slice::from_ref(checked));
    FileDocument { file: &checked.name, job_file, notes: &checked.notes }
}
