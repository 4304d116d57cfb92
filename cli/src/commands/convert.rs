//! `minijob convert`: other tools' files as job files.

use std::path::PathBuf;

use clap::ValueEnum;
use proto::convert::{Format, Note};
use proto::error::{Error, Kind};
use serde::Serialize;

use super::validate;
use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::files::{self, Checked, Reading, Wrong};
use crate::output::{Out, Voice};

const EXAMPLES: &str = "\
Examples:
  minijob convert monexec shop.yaml > shop.yml    what has no counterpart is named on standard error
  minijob convert shop.yaml                       whose file it is shows in what is in it
  minijob convert monexec a.yaml b.yaml           jobs of several files, parted by `---`

`minijob run` and `supervise` take such files as they are.";

/// The next step for files that nobody recognises.
const FORMATS: &str =
    "nothing was converted; files of monexec can be: `minijob convert monexec FILE` reads them as that";

/// What `convert` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "minijob convert [OPTIONS] [FORMAT] <FILE>...")]
pub struct Args {
    /// The files; a directory means its *.yml and *.yaml, `-` is standard input. Before them may stand whose they are: `monexec`
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
    let (tool, paths) = told(&args.files)?;
    let format = match tool {
        None => None,
        Some(Tool::Monexec) => Some(files::Format::Monexec),
        Some(Tool::Compose) => {
            return Err(later("docker-compose", "containers come with a later version").into());
        }
        Some(Tool::Nomad) => return Err(later("Nomad", "that comes with a later version").into()),
    };
    if paths.is_empty() {
        let error = Error::new(Kind::Invalid, "the files are missing");
        return Err(error.hint("`minijob convert monexec shop.yaml` converts one of monexec").into());
    }
    let reading = Reading { format, ..Reading::default() };
    let checked = files::check(paths, &reading, global.namespace());
    let is_ours = |file: &&Checked| file.format == Format::Job && format.is_none();
    if let Some(error) = files::refusal(&checked) {
        let is_foreign = |file: &Checked| is_ours(&file) && matches!(file.result, Err(Wrong::Faults(_)));
        let hint = if checked.iter().any(is_foreign) { FORMATS } else { "nothing was converted" };
        return Err(error.hint(hint).into());
    }
    if let Some(file) = checked.iter().find(is_ours) {
        let message = format!("{} is a job file already: there is nothing to convert", file.name);
        let hint =
            format!("`minijob validate --explain {}` shows it with every default filled in", file.name);
        return Err(Error::new(Kind::Invalid, message).hint(hint).into());
    }
    let mut out = Out::new(global);
    if out.json {
        out.document(&Document { files: checked.iter().map(document).collect() })?;
    } else {
        out.bytes(validate::as_file(&checked, proto::jobfile::brief).as_bytes())?;
    }
    files::tell_notes(&checked, Voice::new(global));
    Ok(Exit::DONE)
}

/// Returns the tool that is named before the files, if one is, and the files. A file of such a name is `./monexec`.
///
/// # Errors
/// [`Kind::Invalid`] for a word that can only be meant as a tool and is none.
fn told(given: &[PathBuf]) -> Result<(Option<Tool>, &[PathBuf]), Error> {
    let Some((first, files)) = given.split_first() else { return Ok((None, given)) };
    let word = first.to_str().unwrap_or_default();
    if let Ok(tool) = Tool::from_str(word, false) {
        return Ok((Some(tool), files));
    }
    if files.is_empty() || word.contains(['.', '/']) || word == "-" || first.exists() {
        return Ok((None, given));
    }
    let error = Error::new(Kind::Invalid, format!("`{word}` is no format that is converted, and no file"));
    Err(error.hint("files of monexec can be: `minijob convert monexec FILE`, or the files alone"))
}

fn later(tool: &str, when: &str) -> Error {
    let message = format!("files of {tool} are not converted yet: {when}");
    Error::new(Kind::Invalid, message)
        .hint("docs/job-file.md says how a job file looks; `monexec` is converted")
}

fn document(checked: &Checked) -> FileDocument<'_> {
    let job_file = validate::as_file(std::slice::from_ref(checked), proto::jobfile::brief);
    FileDocument { file: &checked.name, job_file, notes: &checked.notes }
}
