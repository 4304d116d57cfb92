//! `-- COMMAND`: a program of the command line as a job, for `run` and `supervise`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::error::{Error, Kind};
use proto::ids::JobKey;
use proto::model::{DEFAULT_NAMESPACE, Group, Job, JobType, Port, Restart, Task};
use proto::units::parse_duration;
use proto::{envfile, jobfile, names};

use crate::args::Global;
use crate::usage;

/// What the job file of the command is called in messages.
const SHOWN: &str = "<command line>";

/// A command, and how it is to run.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Options of -- COMMAND")]
// The group of the command that these belong to has this name already.
#[group(skip)]
pub struct Args {
    /// The job's name [default: the program's]
    #[arg(long, value_name = "NAME", requires = "command", value_parser = name)]
    pub name: Option<String>,
    /// It runs until it exits with 0, and is done then: `type: batch` [default: a service, which is restarted]
    #[arg(long, requires = "command")]
    pub batch: bool,
    /// A variable of its environment; may be repeated
    #[arg(long, value_name = "KEY=VALUE", requires = "command", value_parser = variable)]
    pub env: Vec<(String, String)>,
    /// A file of KEY=VALUE lines; may be repeated, later files and --env win
    #[arg(long, value_name = "FILE", requires = "command")]
    pub env_file: Vec<PathBuf>,
    /// Where it starts
    #[arg(long, value_name = "DIR", requires = "command")]
    pub workdir: Option<PathBuf>,
    /// The user it runs as
    #[arg(long, value_name = "USER", requires = "command")]
    pub user: Option<String>,
    /// Restarts within 5m, of a batch job within 24h, before it is given up: a number, -1 for no end, or no [default: 3]
    #[arg(
        long,
        value_name = "N",
        requires = "command",
        value_parser = restarts,
        allow_hyphen_values = true
    )]
    pub restart: Option<Restarts>,
    /// The first delay before a restart; it doubles up to 30s [default: 1s, of a batch job 5s]
    #[arg(long, value_name = "DURATION", requires = "command", value_parser = parse_duration)]
    pub restart_delay: Option<Duration>,
    /// Time between the stop signal and SIGKILL [default: 5s]
    #[arg(long, value_name = "DURATION", requires = "command", value_parser = parse_duration)]
    pub stop_timeout: Option<Duration>,
    /// A port, free or this one, as ${port.NAME} and MINIJOB_PORT_NAME; may be repeated
    #[arg(long, value_name = "NAME[=N]", requires = "command", value_parser = port)]
    pub port: Vec<(String, Port)>,
    /// How many of it
    #[arg(long, value_name = "N", requires = "command")]
    pub count: Option<u32>,
    /// Not yet: refused by name.
    #[arg(long, hide = true, num_args = 0..=1, value_name = "CHECK")]
    pub check: Option<Option<String>>,
    /// Not yet: refused by name.
    #[arg(long, hide = true, num_args = 0..=1, value_name = "NAME")]
    pub service: Option<Option<String>>,
    /// The only node that takes it, by its name or id; nothing to `supervise`, which is one machine
    #[arg(long, value_name = "NODE", requires = "command")]
    pub node: Option<String>,
    /// A program and its arguments instead of job files
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["var", "var_file"])]
    pub command: Vec<String>,
}

/// How often a command is started again; none: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarts(pub Option<u32>);

impl Args {
    /// Returns the job of the command, checked as a file is; none when no command is given.
    ///
    /// `default_workdir` is where it starts unless told otherwise, `verb` the command whose flags these are. A program with a `/` is relative to where this was started. Any
    /// other stays as it is: it is looked up where the task starts, by whom it runs as, who may not reach what this user finds.
    ///
    /// # Errors
    /// [`Kind::Invalid`] names what is wrong with it, or what does not exist yet.
    pub fn job(
        &self,
        global: &Global,
        default_workdir: Option<&Path>,
        verb: &str,
    ) -> Result<Option<Job>, Error> {
        let later = [("--check", &self.check), ("--service", &self.service)];
        if let Some((flag, _)) = later.iter().find(|(_, given)| given.is_some()) {
            let message = format!("{flag} is not supported yet: it comes with a later version");
            return Err(Error::new(Kind::Invalid, message).hint("leave it out"));
        }
        let Some((program, args)) = self.command.split_first() else { return Ok(None) };
        let here = std::env::current_dir()
            .map_err(|cause| Error::new(Kind::Invalid, format!("cannot tell where this is: {cause}")))?;
        one_program(program, args, &here, verb)?;
        let program = placed(program, &here);
        let name = match &self.name {
            Some(name) => name.clone(),
            None => name_of(&program)?,
        };
        let task = self.task(&program, args, &here, default_workdir)?;
        let kind = if self.batch { JobType::Batch } else { JobType::Service };
        let mut group = Group::new(kind, BTreeMap::from([(name.clone(), task)]));
        group.count = self.count.unwrap_or(1);
        group.ports = self.port.iter().cloned().collect();
        group.restart = self.restart_policy(group.restart);
        group.placement.node.clone_from(&self.node);
        let namespace = global.namespace().unwrap_or(DEFAULT_NAMESPACE).to_owned();
        let key = JobKey { namespace, name: name.clone() };
        let job = Job::new(key, kind, BTreeMap::from([(name, group)]));
        checked(&job).map(Some)
    }

    fn task(
        &self,
        program: &Path,
        args: &[String],
        here: &Path,
        default_workdir: Option<&Path>,
    ) -> Result<Task, Error> {
        let mut task = Task::new(text(program)?);
        task.process.args = args.iter().map(|arg| literal(arg)).collect();
        for file in &self.env_file {
            task.env.extend(variables(file)?.into_iter().map(|(key, value)| (key, literal(&value))));
        }
        task.env.extend(self.env.iter().map(|(key, value)| (key.clone(), literal(value))));
        task.process.user.clone_from(&self.user);
        let workdir = self.workdir.as_ref().map(|dir| here.join(dir));
        let workdir = workdir.as_deref().or(default_workdir).map(text).transpose()?;
        task.process.workdir = workdir.map(|dir| literal(&dir));
        task.stop_timeout = self.stop_timeout.unwrap_or(task.stop_timeout);
        Ok(task)
    }

    fn restart_policy(&self, usual: Restart) -> Restart {
        let delay = self.restart_delay.unwrap_or(usual.delay);
        let attempts = self.restart.map_or(usual.attempts, |restarts| restarts.0);
        Restart { attempts, delay, max_delay: usual.max_delay.max(delay), ..usual }
    }
}

/// Returns the job as its file would be read, so that a command may be nothing that a file may not be.
fn checked(job: &Job) -> Result<Job, Error> {
    let read = jobfile::parse(SHOWN, &jobfile::explain(job)).map_err(|faults| {
        let details = faults.0.iter().map(ToString::to_string).collect();
        Error::new(Kind::Invalid, "the command cannot be a job").details(details)
    })?;
    let job = read.into_iter().next();
    job.ok_or_else(|| Error::new(Kind::Internal, "the job of the command was not read back"))
}

/// Refuses a whole command line in the place of the program. A file that is there may have spaces in its name.
fn one_program(program: &str, args: &[String], here: &Path, verb: &str) -> Result<(), Error> {
    if !program.trim().contains(char::is_whitespace) || here.join(program).exists() {
        return Ok(());
    }
    let shown = usage::quoted(&[program]);
    let error = Error::new(Kind::Invalid, format!("{shown} is a command with spaces, and no program"));
    let is_for_a_shell = program.contains(['|', '&', ';', '<', '>', '$', '\'', '"', '*', '`']);
    Err(match (is_for_a_shell, args) {
        (true, []) => error.hint(format!("a shell understands it: write `minijob {verb} -- sh -c {shown}`")),
        (_, args) => {
            let words = program.split_whitespace().chain(args.iter().map(String::as_str));
            let line = usage::quoted(&words.collect::<Vec<_>>());
            error.hint(format!("leave the quotes out: write `minijob {verb} -- {line}`"))
        }
    })
}

/// Returns a program with a `/` as its absolute path, without `.` in it; a bare name as it is.
fn placed(program: &str, here: &Path) -> PathBuf {
    if program.contains('/') { here.join(program).components().collect() } else { PathBuf::from(program) }
}

fn name_of(program: &Path) -> Result<String, Error> {
    let base = program.file_name().unwrap_or_default().to_string_lossy();
    let name = names::proposed_name(&base);
    if names::is_name(&name) {
        return Ok(name);
    }
    Err(Error::new(Kind::Invalid, format!("`{base}` gives no name for a job")).hint("give one with --name"))
}

fn text(path: &Path) -> Result<String, Error> {
    let wrong = || Error::new(Kind::Invalid, format!("{} is not UTF-8", path.display()));
    path.to_str().map(str::to_owned).ok_or_else(wrong)
}

fn variables(file: &Path) -> Result<Vec<(String, String)>, Error> {
    let wrong = |cause: &dyn std::fmt::Display| {
        Error::new(Kind::Invalid, format!("{}: {cause}", file.display())).hint("nothing was started")
    };
    let size = file.metadata().map_err(|cause| wrong(&cause))?.len();
    if size > envfile::BYTES_MAX as u64 {
        return Err(wrong(&format!("it is larger than {} bytes", envfile::BYTES_MAX)));
    }
    let content = std::fs::read_to_string(file).map_err(|cause| wrong(&cause))?;
    envfile::parse(&content).map_err(|cause| wrong(&cause))
}

/// Keeps what is ours, `${port.http}`, and makes what is the program's own, `${HOME}`, literal: a name of ours has a dot in it, a
/// shell's has none.
fn literal(text: &str) -> String {
    let is_ours = |rest: &str| {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name = rest.split_once('}').and_then(|(name, _)| name.split_once('.'));
        name.is_some_and(|(family, member)| {
            !family.is_empty()
                && family.chars().all(|c| c.is_ascii_lowercase())
                && !member.is_empty()
                && member.chars().all(word)
        })
    };
    let mut parts = text.split("${");
    let mut written = parts.next().unwrap_or_default().to_owned();
    for rest in parts {
        // A second `$` was there already: it is literal as it stands.
        let is_escaped = written.ends_with('$');
        written.push_str(if is_escaped || is_ours(rest) { "${" } else { "$${" });
        written.push_str(rest);
    }
    written
}

fn name(text: &str) -> Result<String, String> {
    if names::is_name(text) { Ok(text.to_owned()) } else { Err(names::advice(names::RULE, text)) }
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

fn restarts(text: &str) -> Result<Restarts, String> {
    match text {
        "-1" => Ok(Restarts(None)),
        "no" => Ok(Restarts(Some(0))),
        number => {
            let wrong = |_| "write a number of restarts, -1 for no end, or no".to_owned();
            number.parse().map(|number| Restarts(Some(number))).map_err(wrong)
        }
    }
}

fn port(text: &str) -> Result<(String, Port), String> {
    let (name, number) = text.split_once('=').map_or((text, None), |(name, number)| (name, Some(number)));
    if !names::is_name(name) {
        return Err(names::advice(names::RULE, name));
    }
    let Some(number) = number else { return Ok((name.to_owned(), Port::Dynamic)) };
    match number.parse() {
        Ok(0) | Err(_) => {
            Err(format!("`{number}` is no port: write {name}=8080, or {name} for one that is free"))
        }
        Ok(number) => Ok((name.to_owned(), Port::Static(number))),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;
    use crate::files::Variables;

    fn args(given: &[&str]) -> Result<Args, clap::Error> {
        // What is about files is refused beside a command, so that the grammar must have it.
        let command = Variables::augment_args(clap::Command::new("run").no_binary_name(true));
        let command = Args::augment_args(command);
        Args::from_arg_matches(&command.try_get_matches_from(given)?)
    }

    fn job(given: &[&str]) -> Result<Job, Error> {
        let args = args(given).expect("the grammar allows it");
        Ok(args.job(&Global::default(), None, "run")?.expect("a command is given"))
    }

    fn only(job: &Job) -> (&Group, &Task) {
        let group = job.groups.values().next().expect("a group");
        (group, group.tasks.values().next().expect("a task"))
    }

    #[test]
    fn a_command_becomes_a_job_named_after_its_program() {
        let job = job(&["--", "sh", "-c", "sleep 1"]).expect("a job");
        let (group, task) = only(&job);
        assert_eq!((job.key.name.as_str(), group.count), ("sh", 1));
        assert_eq!(task.process.command, "sh", "the node looks it up, as the user that it runs as");
        assert_eq!(task.process.args, ["-c", "sleep 1"]);
        assert_eq!(job.kind, JobType::Service);
    }

    #[test]
    fn a_program_with_a_slash_is_relative_to_here_and_need_not_be_here() {
        let here = std::env::current_dir().expect("is there");
        let job = job(&["--", "./no/such/app"]).expect("a job");
        let (_, task) = only(&job);
        assert_eq!(Path::new(&task.process.command), here.join("no/such/app"));
    }

    #[test]
    fn a_batch_job_has_the_defaults_of_batch_jobs() {
        let usual = job(&["--batch", "--", "backup"]).expect("a job");
        assert_eq!((usual.kind, only(&usual).0.restart), (JobType::Batch, Restart::BATCH));
        let never = job(&["--batch", "--restart", "no", "--", "backup"]).expect("a job");
        assert_eq!(only(&never).0.restart, Restart { attempts: Some(0), ..Restart::BATCH });
    }

    #[test]
    fn flags_say_how_it_runs() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("env");
        std::fs::write(&file, "A=file\nB='from file'\n").expect("written");
        let file = file.to_string_lossy();
        let given = [
            "--name",
            "web",
            "--env-file",
            &file,
            "--env",
            "A=flag",
            "--workdir",
            "/srv",
            "--user",
            "www",
            "--restart",
            "-1",
            "--restart-delay",
            "45s",
            "--stop-timeout",
            "9s",
            "--port",
            "http=8080",
            "--port",
            "admin",
            "--count",
            "2",
            "--",
            "/bin/sh",
            "-c",
            "x ${port.http} ${HOME} $${y}",
        ];
        let job = job(&given).expect("a job");
        let (group, task) = only(&job);
        assert_eq!((job.key.name.as_str(), group.count), ("web", 2));
        assert_eq!((task.env["A"].as_str(), task.env["B"].as_str()), ("flag", "from file"));
        assert_eq!(task.process.workdir.as_deref(), Some("/srv"));
        assert_eq!(task.process.user.as_deref(), Some("www"));
        assert_eq!((group.restart.attempts, group.restart.delay), (None, Duration::from_secs(45)));
        assert_eq!(task.stop_timeout, Duration::from_secs(9));
        assert_eq!((group.ports["http"], group.ports["admin"]), (Port::Static(8080), Port::Dynamic));
        assert_eq!(task.process.args[1], "x ${port.http} $${HOME} $${y}");
    }

    #[test]
    fn what_is_generated_is_a_job_file_of_the_same_job() {
        let job = job(&["--env", "A=1", "--port", "http", "--restart", "no", "--", "sh", "-c", "x"])
            .expect("a job");
        let text = jobfile::brief(&job);
        let read = jobfile::parse("generated.yml", &text).expect("it is valid");
        assert_eq!(read, [job]);
        assert_eq!(jobfile::brief(&read[0]), text);
    }

    #[test]
    fn a_command_line_in_one_argument_is_shown_as_it_is_to_be_typed() {
        let hint = |given: &[&str]| job(given).expect_err("no program").hint;
        assert_eq!(hint(&["--", "sleep 5"]), "leave the quotes out: write `minijob run -- sleep 5`");
        assert_eq!(
            hint(&["--", "/bin/sleep 5", "6"]),
            "leave the quotes out: write `minijob run -- /bin/sleep 5 6`"
        );
        assert_eq!(
            hint(&["--", "date | wc"]),
            "a shell understands it: write `minijob run -- sh -c 'date | wc'`"
        );
        let error = job(&["--", "sleep 5"]).expect_err("no program");
        assert_eq!(error.message, "'sleep 5' is a command with spaces, and no program");
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let message = |given: &[&str]| job(given).expect_err("refused").message;
        assert_eq!(message(&["--", "/"]), "`` gives no name for a job");
        let pinned = job(&["--node", "n1", "--", "sh"]).expect("a job");
        assert_eq!(pinned.groups["sh"].placement.node.as_deref(), Some("n1"));
        for flag in ["--check", "--service"] {
            let expected = format!("{flag} is not supported yet: it comes with a later version");
            assert_eq!(message(&[flag, "x", "--", "sh"]), expected);
        }
        let error = job(&["--", "sh", "-c", "${port.nope}"]).expect_err("no such port");
        assert!(error.details[0].contains("${port.nope}"), "{error:?}");
        for wrong in
            [["--port", "A"], ["--port", "http=0"], ["--env", "x"], ["--restart", "x"], ["--name", "A_b"]]
        {
            assert!(args(&[wrong[0], wrong[1], "--", "sh"]).is_err(), "{wrong:?}");
        }
        assert!(args(&["--name", "web"]).is_err(), "a name without a command");
    }
}
