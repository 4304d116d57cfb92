//! Job files as they are named on the command line: read whole, checked all, and only then used.

mod disk; // what is read from disk
mod loaded; // what was read of all files together
mod reading; // in which format, with which variables
mod variables; // `--var` and `--var-file`

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use proto::convert::{self, Note};
use proto::error::{Error, Kind};
use proto::jobfile::{Fault, Given};
use proto::model::{DEFAULT_NAMESPACE, Job};

use crate::usage;
use disk::{Disk, plain};
pub use loaded::{Loaded, tell_notes};
pub use reading::{Format, Reading};
pub use variables::Variables;

/// What standard input is called in messages.
const STDIN: &str = "<stdin>";

/// A file that was checked.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Its name as it was given.
    pub name: String,
    /// Its jobs, or what is wrong with it.
    pub result: Result<Vec<Job>, Wrong>,
    /// Whose file it is.
    pub format: convert::Format,
    /// What of it has no counterpart in a job, where it is another tool's.
    pub notes: Vec<Note>,
    /// The variables that its jobs declare.
    variables: BTreeSet<String>,
}

impl Checked {
    fn wrong(name: String, wrong: Wrong) -> Self {
        let (format, notes) = (convert::Format::Job, Vec::new());
        Self { name, result: Err(wrong), format, notes, variables: BTreeSet::new() }
    }
}

/// What is wrong with a file.
#[derive(Clone, Debug)]
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

/// Reads and checks files; `-` is standard input, a directory means its `*.yml` and `*.yaml` by name, those aside that begin with a dot.
///
/// Each is read in the format that it is in, unless one is said. A job without a namespace of its own gets `namespace`, one out of a directory tells where it came from (`origin`). A variable
/// that no file declares is wrong like a file. Nothing is asked of a server.
#[must_use]
pub fn check(paths: &[PathBuf], reading: &Reading, namespace: Option<&str>) -> Vec<Checked> {
    let mut checked = Vec::new();
    let values = variables::Values::read(&reading.variables, &mut checked);
    let given = How { values: &values.by_name, format: reading.format.map(Into::into), namespace };
    for path in paths {
        match expand(path) {
            Ok((files, origin)) => {
                let read = |file: PathBuf| check_one(&file, given, origin.as_deref());
                checked.extend(files.into_iter().map(read));
            }
            Err(why) => checked.push(Checked::wrong(shown(path), Wrong::Unreadable(why))),
        }
    }
    refuse_doubles(&mut checked);
    // A file that could not be read may declare anything.
    if !checked.iter().any(|file| matches!(file.result, Err(Wrong::Unreadable(_)))) {
        let declared = checked.iter().flat_map(|file| &file.variables).cloned().collect();
        checked.extend(values.unknown(&declared));
    }
    checked
}

/// Returns the jobs of all files, or one refusal with every fault of every file.
///
/// # Errors
/// [`Kind::Invalid`]; also for files that hold no job at all.
pub fn load(paths: &[PathBuf], reading: &Reading, namespace: Option<&str>) -> Result<Loaded, Error> {
    let checked = check(paths, reading, namespace);
    if let Some(error) = refusal(&checked) {
        return Err(error);
    }
    let loaded = Loaded::of(checked);
    if loaded.jobs.is_empty() && !paths.is_empty() {
        let error = Error::new(Kind::Invalid, "there is nothing to run: no `services` in any of these files");
        return Err(error.hint("name the file that has them, too"));
    }
    Ok(loaded)
}

/// Says what became of the good files beside the wrong ones, where the error has no better next step.
#[must_use]
pub fn no_harm(error: Error, what: &str) -> Error {
    if error.hint.is_empty() { error.hint(what) } else { error }
}

/// Says how a command is given, where the first file is surely one: nothing of that name is there, or a program is.
#[must_use]
pub fn or_command(error: Error, paths: &[PathBuf], verb: &str) -> Error {
    let words: Option<Vec<&str>> = paths.iter().map(|path| path.to_str()).collect();
    let Some((first, words)) = paths.first().zip(words).filter(|_| error.hint.is_empty()) else {
        return error;
    };
    if !first.exists()
        && let Some(meant) = ["yml", "yaml"]
            .map(|end| PathBuf::from(format!("{}.{end}", first.display())))
            .iter()
            .find(|file| file.is_file())
    {
        return error.hint(format!("did you mean `{}`?", meant.display()));
    }
    let is_missing = !first.exists() && first.extension().is_none() && first != Path::new("-");
    let is_program =
        || first.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0);
    let is_text = || first.extension().is_some_and(|end| end == "yml" || end == "yaml");
    if is_missing || (is_program() && !is_text()) {
        return error
            .hint(format!("a command goes after `--`: `minijob {verb} -- {}`", usage::quoted(&words)));
    }
    error
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

/// Returns the files that a path means, and for a directory what its jobs say of where they came from.
fn expand(path: &Path) -> Result<(Vec<PathBuf>, Option<String>), String> {
    if path == Path::new("-") || !path.is_dir() {
        return Ok((vec![path.to_owned()], None));
    }
    let unreadable = |cause: io::Error| format!("cannot read this directory: {}", plain(&cause));
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let yaml = file.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if yaml && !hidden && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err("no *.yml or *.yaml in this directory".to_owned());
    }
    let place = path.canonicalize().map_err(unreadable)?;
    let host = nix::unistd::gethostname().map_err(|cause| format!("this machine has no name: {cause}"))?;
    Ok((files, Some(format!("{}:{}", host.display(), place.display()))))
}

/// How every file is read.
#[derive(Clone, Copy)]
struct How<'a> {
    values: &'a BTreeMap<String, String>,
    format: Option<convert::Format>,
    namespace: Option<&'a str>,
}

fn check_one(path: &Path, how: How<'_>, origin: Option<&str>) -> Checked {
    let name = shown(path);
    let text = match disk::text(path) {
        Ok(text) => text,
        Err(why) => return Checked::wrong(name, Wrong::Unreadable(why)),
    };
    let base = base_of(path);
    let given = Given { base: base.as_deref(), variables: how.values, files: Some(&Disk) };
    let read = convert::read(&name, &text, &given, how.format);
    let result = read.jobs.map_err(|faults| Wrong::Faults(faults.0));
    let placed = |mut job: Job| {
        job.origin = origin.map(str::to_owned);
        placed_in(job, how.namespace)
    };
    let result = result.map(|jobs| jobs.into_iter().map(placed).collect());
    Checked { name, result, format: read.format, notes: read.notes, variables: read.variables }
}

/// Relative paths in a file are relative to it; standard input has no place.
fn base_of(path: &Path) -> Option<PathBuf> {
    if path == Path::new("-") {
        return None;
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

#[cfg(test)]
mod tests {
    use proto::limits::JOB_FILE_BYTES;

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
        let jobs = load(&[directory.path().to_owned()], &Reading::default(), None).expect("valid").jobs;
        let names: Vec<&str> = jobs.iter().map(|job| job.key.name.as_str()).collect();
        assert_eq!(names, ["api", "web"]);
    }

    #[test]
    fn every_file_is_checked_before_anything_is_refused() {
        let directory = directory(&[("a.yml", "name: web\ncomand: /bin/true\n"), ("b.yml", GOOD)]);
        let paths = ["a.yml", "missing.yml", "b.yml"].map(|name| directory.path().join(name));
        let error = load(&paths, &Reading::default(), None).expect_err("two are wrong");
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
        let error = load(&[directory.path().to_owned()], &Reading::default(), None).expect_err("twice");
        assert!(error.details[0].contains("the job `web` is also in"), "{error:?}");
    }

    #[test]
    fn a_namespace_is_given_to_jobs_that_name_none() {
        let own = format!("{}namespace: prod\n", GOOD.replace("web", "api"));
        let directory = directory(&[("a.yml", GOOD), ("b.yml", &own)]);
        let jobs =
            load(&[directory.path().to_owned()], &Reading::default(), Some("dmz")).expect("valid").jobs;
        let keys: Vec<String> = jobs.iter().map(|job| job.key.to_string()).collect();
        assert_eq!(keys, ["dmz/web", "prod/api"]);
    }

    #[test]
    fn a_file_that_is_too_large_or_no_text_is_refused_without_being_parsed() {
        let large = "#".repeat(JOB_FILE_BYTES + 1);
        let directory = directory(&[("large.yml", &large)]);
        let path = directory.path().join("large.yml");
        let error = load(std::slice::from_ref(&path), &Reading::default(), None).expect_err("too large");
        assert!(error.details[0].contains("larger than a job file may be (1MiB)"), "{error:?}");
        fs::write(&path, b"name: \xff").expect("written");
        let error = load(&[path], &Reading::default(), None).expect_err("no text");
        assert!(error.details[0].contains("byte 7 is not UTF-8"), "{error:?}");
    }

    const VARIED: &str = "name: web\nvariables: {tag: {required: true}}\ncommand: /bin/${var.tag}\n";

    fn given(var: &[(&str, &str)], var_file: &[PathBuf]) -> Reading {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables = Variables { var: var.iter().map(owned).collect(), var_file: var_file.to_vec() };
        Reading { variables, format: None }
    }

    #[test]
    fn jobs_of_a_directory_tell_where_they_came_from_and_others_do_not() {
        let directory = directory(&[("a.yml", GOOD), (".hidden.yml", "name: [\n")]);
        let none = Reading::default();
        let jobs = load(&[directory.path().join("sub/..")], &none, None);
        assert!(jobs.is_err(), "there is no such directory");
        let jobs = load(&[directory.path().to_owned()], &none, None).expect("valid").jobs;
        let origin = jobs[0].origin.as_deref().expect("has one");
        let place = directory.path().canonicalize().expect("is there");
        assert!(origin.ends_with(&format!(":{}", place.display())) && !origin.starts_with(':'), "{origin}");
        let jobs = load(&[directory.path().join("a.yml")], &none, None).expect("valid").jobs;
        assert_eq!(jobs[0].origin, None);
    }

    #[test]
    fn the_command_line_wins_over_files_of_variables_and_later_files_over_earlier() {
        let directory =
            directory(&[("a.yml", VARIED), ("one.vars", "tag: one\n"), ("two.vars", "tag: two\n")]);
        let path = |name: &str| directory.path().join(name);
        let command = |variables: &Reading| {
            let jobs = load(&[path("a.yml")], variables, None).expect("valid").jobs;
            jobs[0].groups["web"].tasks["web"].process.command.clone()
        };
        let files = [path("one.vars"), path("two.vars")];
        assert_eq!(command(&given(&[], &files)), "/bin/two");
        assert_eq!(command(&given(&[("tag", "a"), ("tag", "b")], &files)), "/bin/b");
    }

    #[test]
    fn a_variable_that_no_file_declares_is_refused_with_its_place() {
        let other = GOOD.replace("web", "api");
        let directory =
            directory(&[("a.yml", VARIED), ("b.yml", &other), ("x.vars", "tag: x\nreplica: 3\n")]);
        let path = |name: &str| directory.path().join(name);
        let said = |variables: &Reading| {
            load(&[path("a.yml"), path("b.yml")], variables, None).expect_err("refused")
        };
        let error = said(&given(&[("tga", "x"), ("tag", "x")], &[]));
        assert_eq!(error.details, ["--var tga: no job declares the variable `tga`; did you mean `tag`?"]);
        let error = said(&given(&[], &[path("x.vars")]));
        assert!(error.details[0].contains("x.vars:2:1: no job declares the variable `replica`"), "{error:?}");
        let error = said(&given(&[], &[]));
        assert!(error.details[0].contains("a.yml:2:13: the variable `tag` is required"), "{error:?}");
        let error = said(&given(&[("tag", "x")], &[path("none.vars")]));
        assert!(
            error.details[0].ends_with("none.vars: cannot read it: No such file or directory"),
            "{error:?}"
        );
    }

    #[test]
    fn files_travel_from_beside_the_job_file() {
        let text = format!("{GOOD}files: [{{to: local/x, from: x.conf}}]\nenv_files: [x.env]\n");
        let directory = directory(&[("a.yml", &text), ("x.conf", "hello"), ("x.env", "A=1\nB\n")]);
        let path = directory.path().join("a.yml");
        let error = load(std::slice::from_ref(&path), &Reading::default(), None).expect_err("a bad line");
        assert!(error.details[0].contains("a.yml:4:13: `x.env`, line 2: there is no `=`"), "{error:?}");
        fs::write(directory.path().join("x.env"), "A=1\n").expect("written");
        let jobs = load(&[path], &Reading::default(), None).expect("valid").jobs;
        let task = &jobs[0].groups["web"].tasks["web"];
        assert_eq!((&task.files[0].content[..], task.env["A"].as_str()), (&b"hello"[..], "1"));
    }

    const SHOP: &str = "services:\n  - command: ./api\n    envFiles: [a.env, b.env]\n  - {command: ./worker, restart: 1}\nconsul: {}\n\
                        critical: [worker]\n";

    #[test]
    fn a_file_of_monexec_is_read_with_what_lies_beside_it_and_its_notes_name_the_place() {
        let directory = directory(&[("shop.yaml", SHOP), ("web.yml", GOOD), ("a.env", "A=1\n")]);
        let checked = check(&[directory.path().to_owned()], &Reading::default(), Some("dmz"));
        let formats: Vec<convert::Format> = checked.iter().map(|file| file.format).collect();
        assert_eq!(formats, [convert::Format::Monexec, convert::Format::Job]);
        let loaded = Loaded::of(checked);
        let place = directory.path().canonicalize().expect("is there");
        let job = &loaded.jobs[0];
        assert_eq!((job.key.to_string().as_str(), job.origin.is_some()), ("dmz/shop", true));
        let task = &job.groups["api"].tasks["api"];
        assert_eq!(
            (task.env["A"].as_str(), task.process.command.as_str()),
            ("1", &*place.join("api").to_string_lossy())
        );
        let said = |in_cluster| {
            let name = format!("{}/", directory.path().display());
            loaded.said(in_cluster).map(|text| text.replace(&name, "")).collect::<Vec<_>>()
        };
        assert_eq!(
            said(false),
            [
                "shop.yaml: read as a file of monexec",
                "shop.yaml:3: there is no file `b.env`, and it is left out",
                "shop.yaml:5: `consul` is not acted on: services are not registered in Consul yet",
            ]
        );
        assert!(
            said(true)[3].starts_with("shop.yaml:6: when `worker` has ended for good"),
            "{:?}",
            said(true)
        );
        assert!(loaded.is_any(convert::Format::Monexec) && !loaded.is_all(convert::Format::Monexec));
    }

    #[test]
    fn a_format_that_is_said_is_the_one_that_is_read() {
        let directory = directory(&[("a.yml", GOOD), ("b.yml", SHOP)]);
        let faults = |name: &str, format| {
            let reading = Reading { format: Some(format), ..Reading::default() };
            load(&[directory.path().join(name)], &reading, None).expect_err("of the other format").details
        };
        let of_job = faults("a.yml", Format::Monexec);
        assert!(of_job[0].contains("a.yml:1:1: the file has no `services`"), "{of_job:?}");
        let of_monexec = faults("b.yml", Format::Job);
        assert!(
            of_monexec.iter().any(|fault| fault.contains("b.yml:1:1: `services` is not supported yet")),
            "{of_monexec:?}"
        );
    }

    #[test]
    fn files_that_hold_nothing_to_run_are_refused() {
        let directory = directory(&[("a.yml", "telegram: {token: x}\n")]);
        let error = load(&[directory.path().to_owned()], &Reading::default(), None).expect_err("nothing");
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.message.contains("nothing to run"), "{error:?}");
        assert!(load(&[], &Reading::default(), None).expect("none were named").jobs.is_empty());
    }
}
