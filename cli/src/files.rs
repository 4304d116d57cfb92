//! Job files as they are named on the command line: read whole, checked all, and only then used.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use proto::error::{Error, Kind};
use proto::jobfile::Fault;
use proto::limits::JOB_FILE_BYTES;
use proto::model::{DEFAULT_NAMESPACE, Job};

/// What standard input is called in messages.
const STDIN: &str = "<stdin>";

/// A file that was checked.
#[derive(Debug)]
pub struct Checked {
    /// Its name as it was given.
    pub name: String,
    /// Its jobs, or what is wrong with it.
    pub result: Result<Vec<Job>, Wrong>,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum Wrong {
    /// It cannot be read.
    Unreadable(String),
    /// Its content.
    Faults(Vec<Fault>),
}

impl Wrong {
    /// Returns one text per fault, each naming the file.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        match self {
            Self::Unreadable(why) => vec![format!("{name}: {why}")],
            Self::Faults(faults) => faults.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Reads and checks files; `-` is standard input, a directory means its `*.yml` and `*.yaml` by name.
///
/// A job without a namespace of its own gets `namespace`. Nothing is asked of a server.
#[must_use]
pub fn check(paths: &[PathBuf], namespace: Option<&str>) -> Vec<Checked> {
    let mut checked = Vec::new();
    for path in paths {
        match expand(path) {
            Ok(files) => checked.extend(files.into_iter().map(|file| check_one(&file, namespace))),
            Err(why) => checked.push(Checked { name: shown(path), result: Err(Wrong::Unreadable(why)) }),
        }
    }
    refuse_doubles(&mut checked);
    checked
}

/// Returns the jobs of all files, or one refusal with every fault of every file.
///
/// # Errors
/// [`Kind::Invalid`].
pub fn load(paths: &[PathBuf], namespace: Option<&str>) -> Result<Vec<Job>, Error> {
    let checked = check(paths, namespace);
    match refusal(&checked) {
        Some(error) => Err(error.hint("nothing was submitted")),
        None => Ok(checked.into_iter().filter_map(|file| file.result.ok()).flatten().collect()),
    }
}

/// Returns the refusal of all files together, if there is anything to refuse.
#[must_use]
pub fn refusal(checked: &[Checked]) -> Option<Error> {
    let faulty = |file: &Checked| file.result.as_ref().err().map(|wrong| wrong.texts(&file.name));
    let files: Vec<Vec<String>> = checked.iter().filter_map(faulty).collect();
    let details: Vec<String> = files.iter().flatten().cloned().collect();
    let count = |number: usize, noun: &str| crate::output::count(number, noun);
    let message = match files.len() {
        0 => return None,
        1 => count(details.len(), "error"),
        several => format!("{} in {}", count(details.len(), "error"), count(several, "file")),
    };
    Some(Error::new(Kind::Invalid, message).details(details))
}

fn expand(path: &Path) -> Result<Vec<PathBuf>, String> {
    if path == Path::new("-") || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |cause: io::Error| format!("cannot read this directory: {}", plain(&cause));
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let yaml = file.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
        if yaml && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() { Err("no *.yml or *.yaml in this directory".to_owned()) } else { Ok(files) }
}

fn check_one(path: &Path, namespace: Option<&str>) -> Checked {
    let name = shown(path);
    let text = match read(path) {
        Ok(text) => text,
        Err(why) => return Checked { name, result: Err(Wrong::Unreadable(why)) },
    };
    let base = base_of(path);
    let parsed =
        proto::jobfile::parse_in(&name, &text, base.as_deref()).map_err(|faults| Wrong::Faults(faults.0));
    let result = parsed.map(|jobs| jobs.into_iter().map(|job| placed_in(job, namespace)).collect());
    Checked { name, result }
}

/// Relative paths in a file are relative to it; on standard input to where the person stands.
fn base_of(path: &Path) -> Option<PathBuf> {
    if path == Path::new("-") {
        return std::env::current_dir().ok();
    }
    Some(path.canonicalize().ok()?.parent()?.to_owned())
}

/// The file's own word wins; a variable that is set for the day must not move a job that says where it belongs.
fn placed_in(mut job: Job, namespace: Option<&str>) -> Job {
    if let Some(namespace) = namespace.filter(|_| job.key.namespace == DEFAULT_NAMESPACE) {
        namespace.clone_into(&mut job.key.namespace);
    }
    job
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let limit = JOB_FILE_BYTES as u64 + 1;
    let result = if path == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    result.map_err(|cause| format!("cannot read it: {}", plain(&cause)))?;
    if bytes.len() > JOB_FILE_BYTES {
        let most = proto::units::show_size(JOB_FILE_BYTES as u64);
        return Err(format!("it is larger than a job file may be ({most})"));
    }
    String::from_utf8(bytes).map_err(|cause| {
        format!("it is not text: byte {} is not UTF-8", cause.utf8_error().valid_up_to() + 1)
    })
}

/// Two files that describe the same job would overwrite each other in turn.
fn refuse_doubles(checked: &mut [Checked]) {
    let mut owners: BTreeMap<proto::ids::JobKey, String> = BTreeMap::new();
    for file in checked {
        let Ok(jobs) = &file.result else { continue };
        let double = jobs.iter().find_map(|job| Some((job, owners.get(&job.key)?)));
        if let Some((job, owner)) = double {
            let why = format!("the job `{}` is also in {owner}", job.key);
            file.result = Err(Wrong::Unreadable(why));
        } else {
            owners.extend(jobs.iter().map(|job| (job.key.clone(), file.name.clone())));
        }
    }
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") { STDIN.to_owned() } else { path.display().to_string() }
}

/// The system's words without its number.
fn plain(cause: &io::Error) -> String {
    let text = cause.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name: web\ncommand: /bin/true\n";

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("written");
        }
        directory
    }

    #[test]
    fn a_directory_means_its_yaml_files_by_name() {
        let other = GOOD.replace("web", "api");
        let directory = directory(&[("b.yml", GOOD), ("a.yaml", &other), ("readme.txt", "no")]);
        let jobs = load(&[directory.path().to_owned()], None).expect("valid");
        let names: Vec<&str> = jobs.iter().map(|job| job.key.name.as_str()).collect();
        assert_eq!(names, ["api", "web"]);
    }

    #[test]
    fn every_file_is_checked_before_anything_is_refused() {
        let directory = directory(&[("a.yml", "name: web\ncomand: /bin/true\n"), ("b.yml", GOOD)]);
        let paths = ["a.yml", "missing.yml", "b.yml"].map(|name| directory.path().join(name));
        let error = load(&paths, None).expect_err("two are wrong");
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.details.iter().any(|text| text.contains("a.yml:2:1")), "{error:?}");
        assert!(
            error
                .details
                .iter()
                .any(|text| text.ends_with("missing.yml: cannot read it: No such file or directory")),
            "{error:?}"
        );
    }

    #[test]
    fn one_job_in_two_files_is_refused() {
        let directory = directory(&[("a.yml", GOOD), ("b.yml", GOOD)]);
        let error = load(&[directory.path().to_owned()], None).expect_err("twice");
        assert!(error.details[0].contains("the job `web` is also in"), "{error:?}");
    }

    #[test]
    fn a_namespace_is_given_to_jobs_that_name_none() {
        let own = format!("{}namespace: prod\n", GOOD.replace("web", "api"));
        let directory = directory(&[("a.yml", GOOD), ("b.yml", &own)]);
        let jobs = load(&[directory.path().to_owned()], Some("dmz")).expect("valid");
        let keys: Vec<String> = jobs.iter().map(|job| job.key.to_string()).collect();
        assert_eq!(keys, ["dmz/web", "prod/api"]);
    }

    #[test]
    fn a_file_that_is_too_large_or_no_text_is_refused_without_being_parsed() {
        let large = "#".repeat(JOB_FILE_BYTES + 1);
        let directory = directory(&[("large.yml", &large)]);
        let path = directory.path().join("large.yml");
        let error = load(std::slice::from_ref(&path), None).expect_err("too large");
        assert!(error.details[0].contains("larger than a job file may be (1MiB)"), "{error:?}");
        fs::write(&path, b"name: \xff").expect("written");
        let error = load(&[path], None).expect_err("no text");
        assert!(error.details[0].contains("byte 7 is not UTF-8"), "{error:?}");
    }
}
