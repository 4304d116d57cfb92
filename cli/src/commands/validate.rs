//! `minijob validate`: checks job files without a server.

use std::path::PathBuf;

use proto::convert::{Format, Note};
use proto::jobfile::Fault;
use proto::model::Job;
use serde::Serialize;

use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::files::{self, Checked, Wrong};
use crate::output::{Out, Voice, count};

const EXAMPLES: &str = "\
Examples:
  minijob validate web.yml
  minijob validate --explain web.yml    the full form, with every default filled in
  minijob validate --var tag=1.5 shop/  every *.yml and *.yaml of a directory, with a variable";

/// What `validate` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Job files; a directory means its *.yml and *.yaml, `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How they are read.
    #[command(flatten)]
    pub reading: files::Reading,
    /// Prints the full form instead, with every default filled in; it is a job file itself
    #[arg(long)]
    pub explain: bool,
}

/// The document of `--json`: valid files and their jobs, and every fault of the others.
#[derive(Serialize)]
struct Document<'a> {
    valid: bool,
    files: Vec<FileDocument<'a>>,
}

#[derive(Serialize)]
struct FileDocument<'a> {
    file: &'a str,
    valid: bool,
    format: &'static str,
    jobs: Vec<JobDocument>,
    faults: &'a [Fault],
    /// What of another tool's file has no counterpart.
    notes: &'a [Note],
    /// Why it cannot be read at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<&'a str>,
}

#[derive(Serialize)]
struct JobDocument {
    namespace: String,
    name: String,
    groups: usize,
    allocations: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    explained: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// [`proto::error::Kind::Invalid`] with every fault of every file.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let checked = files::check(&args.files, &args.reading, global.namespace());
    let mut out = Out::new(global);
    if out.json {
        out.document(&document(&checked, args.explain))?;
    } else if args.explain {
        out.bytes(as_file(&checked, proto::jobfile::explain).as_bytes())?;
    } else {
        for file in &checked {
            if let Ok(jobs) = &file.result {
                out.line(&said(&file.name, file.format, jobs))?;
            }
        }
    }
    files::tell_notes(&checked, Voice::new(global));
    match files::refusal(&checked) {
        Some(error) => Err(error.into()),
        None => Ok(Exit::DONE),
    }
}

fn said(name: &str, format: Format, jobs: &[Job]) -> String {
    let groups = jobs.iter().map(|job| job.groups.len()).sum();
    let allocations = jobs.iter().map(allocations).sum::<u64>();
    let mut sizes = vec![count(jobs.len(), "job"), count(groups, "group")];
    let everywhere = jobs.iter().any(|job| job.groups.values().any(|group| group.kind.is_per_node()));
    if allocations > 0 || !everywhere {
        sizes.push(count(usize::try_from(allocations).unwrap_or(usize::MAX), "allocation"));
    }
    if everywhere {
        sizes.push("one on every node".to_owned());
    }
    let format = match format {
        Format::Job => "",
        Format::Monexec => ", a file of monexec",
    };
    format!("{name}: ok{format} ({})", sizes.join(", "))
}

/// Allocations of the groups that have a count.
fn allocations(job: &Job) -> u64 {
    job.groups.values().filter(|group| !group.kind.is_per_node()).map(|group| u64::from(group.count)).sum()
}

/// All jobs of all valid files as one file: YAML documents, each as `write` has it.
pub(super) fn as_file(checked: &[Checked], write: impl Fn(&Job) -> String) -> String {
    let jobs = checked.iter().filter_map(|file| file.result.as_ref().ok()).flatten();
    let texts: Vec<String> = jobs.map(write).collect();
    texts.join("---\n")
}

fn document(checked: &[Checked], explain: bool) -> Document<'_> {
    let job = |job: &Job| JobDocument {
        namespace: job.key.namespace.clone(),
        name: job.key.name.clone(),
        groups: job.groups.len(),
        allocations: allocations(job),
        explained: explain.then(|| proto::jobfile::explain(job)),
    };
    let files = checked.iter().map(|checked| {
        let jobs = checked.result.iter().flatten().map(job).collect();
        let (faults, unreadable) = match &checked.result {
            Ok(_) => (&[][..], None),
            Err(Wrong::Faults(faults)) => (faults.as_slice(), None),
            Err(Wrong::Unreadable(why)) => (&[][..], Some(why.as_str())),
        };
        let format = match checked.format {
            Format::Job => "job",
            Format::Monexec => "monexec",
        };
        let valid = checked.result.is_ok();
        FileDocument { file: &checked.name, valid, format, jobs, faults, notes: &checked.notes, unreadable }
    });
    let files: Vec<FileDocument<'_>> = files.collect();
    Document { valid: files.iter().all(|file| file.valid), files }
}
