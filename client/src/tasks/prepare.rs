//! From what was assigned to what the driver starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::ids::AllocId;
use proto::jobfile::interpolate::{self, render};
use proto::jobfile::rules;
use proto::model::EndReason;

use super::env_files::{self, ReadEnvError};
use super::facts::Facts;
use super::files::{self, WriteFileError};
use super::folders::Folders;
use super::local::Local;
use super::user::{self, UserError};
use super::volumes::{self, VolumeError};
use crate::core::fence;
use crate::core::spec::Spec;
use crate::driver::confine::{NoPlace, UnknownName};
use crate::driver::{AttemptId, Bind, Confine, LogAlso, LogPolicy, StartSpec};

/// Why a task could not even be handed to the driver.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It cannot run as the user it should.
    #[error("{0}")]
    User(UserError),
    /// A text of the job names something that is not here.
    #[error("{field}: {unknown}")]
    Interpolate {
        /// Where in the task.
        field: &'static str,
        /// What.
        unknown: interpolate::UnknownName,
    },
    /// A path of the node is none when it is filled in.
    #[error("{field}: {path:?} is {fault}")]
    Path {
        /// Where in the task.
        field: &'static str,
        /// As it came out.
        path: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A limit or capability has a name that this agent does not know.
    #[error("{0}")]
    Confine(UnknownName),
    /// A volume that it mounts is not to be had.
    #[error("mount {0}")]
    Volume(NoPlace),
    /// This node does not give a volume to jobs.
    #[error(transparent)]
    Place(VolumeError),
    /// A folder could not be made.
    #[error("cannot make {}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An environment file of the node cannot be used.
    #[error("{0}")]
    EnvFile(ReadEnvError),
    /// A file of the job cannot be written.
    #[error("{0}")]
    File(WriteFileError),
}

impl PrepareError {
    /// Returns what servers are told, and whether the same start must fail again.
    #[must_use]
    pub fn reason(&self) -> (EndReason, bool) {
        let (step, errno, hopeless) = match self {
            Self::User(UserError::Lookup { errno, .. }) => ("user", *errno as i32, false),
            Self::User(_) => ("user", 0, true),
            Self::Interpolate { .. } | Self::Path { .. } => ("interpolate", 0, true),
            Self::Confine(_) => ("confine", 0, true),
            Self::Volume(_) => ("volume", 0, true),
            Self::Place(error) => return error.reason(),
            // A full disk may have room again.
            Self::Folder { source, .. } => ("folder", source.raw_os_error().unwrap_or(0), false),
            Self::EnvFile(error) => ("env_files", error.errno(), error.is_hopeless()),
            Self::File(WriteFileError::Outside { .. }) => ("files", 0, true),
            Self::File(WriteFileError::Write { source, .. }) => {
                ("files", source.raw_os_error().unwrap_or(0), false)
            }
        };
        (EndReason::StartFailed { step: step.into(), errno, message: self.to_string() }, hopeless)
    }
}

/// Makes the folders and files of a task and returns what the driver is to start. Blocks on the disk and the user database; a second
/// call for the same attempt gives the same.
///
/// # Errors
/// See [`PrepareError`].
pub fn prepare(
    alloc: AllocId,
    spec: &Spec,
    task_name: &str,
    attempt: u32,
    local: &Local,
    alloc_folder: &Path,
) -> Result<StartSpec, PrepareError> {
    let Local { node, users, volumes } = local;
    let task = &spec.group.tasks[task_name];
    let places = volumes::resolve(&spec.group.volumes, volumes).map_err(PrepareError::Place)?;
    let place = |name: &str| places.get(name).map(|volume| (volume.path.clone(), volume.read_only));
    let folders = Folders::of(alloc_folder, task_name);
    let identity = user::resolve(task.process.user.as_deref(), users).map_err(PrepareError::User)?;
    let facts =
        Facts { node, alloc, spec, task_name, task, task_dir: &folders.task, alloc_dir: &folders.shared };
    let mut env = facts.environment();
    if let Some(identity) = &identity {
        env.insert("HOME".into(), identity.home.display().to_string());
    }
    let fill = |field, text: &str, env: &BTreeMap<String, String>| {
        render(text, &|name| facts.look_up(name, env))
            .map_err(|unknown| PrepareError::Interpolate { field, unknown })
    };
    let fill_path = |field, text: &str, env: &BTreeMap<String, String>| {
        let path = fill(field, text, env)?;
        rules::absolute(&path).map_err(|fault| PrepareError::Path { field, path: path.clone(), fault })?;
        Ok(path)
    };
    for file in &task.env_files {
        let path = fill_path("env_files", &file.path, &env)?;
        let user = identity.as_ref().map(|identity| &identity.user);
        env.extend(env_files::read(file, &path, user, users).map_err(PrepareError::EnvFile)?);
    }
    let base = env.clone();
    for (name, value) in &task.env {
        env.insert(name.clone(), fill("env", value, &base)?);
    }
    let args = task.process.args.iter().map(|arg| fill("args", arg, &env)).collect::<Result<_, _>>()?;
    let workdir = match &task.process.workdir {
        // A relative one is meant from the task's own directory; an absolute one replaces it.
        Some(workdir) => folders.task.join(fill("workdir", workdir, &env)?),
        None => folders.task.clone(),
    };
    let user = identity.as_ref().map(|identity| &identity.user);
    folders.make(user).map_err(|(path, source)| PrepareError::Folder { path, source })?;
    files::write_all(&folders.task, &task.files, user).map_err(PrepareError::File)?;
    Ok(StartSpec {
        id: AttemptId { alloc: alloc.0, task: task_name.to_owned(), attempt },
        command: task.process.command.clone(),
        args,
        workdir: Some(workdir),
        user: identity.map(|identity| identity.user),
        log_dir: folders.logs,
        logs: LogPolicy { files: task.logs.max_files, file_bytes: task.logs.max_file_bytes },
        logs_also: LogAlso {
            file: task
                .logs
                .file
                .as_deref()
                .map(|path| fill_path("logs.file", path, &env))
                .transpose()?
                .map(Into::into),
            journal: task.logs.journald.then(|| identifier(spec, task_name)),
        },
        stop_signal: task.stop_signal,
        stop_timeout: task.stop_timeout,
        // Known when all of this is done.
        deadline_boot_ms: None,
        fence_grace: spec.fence.map_or(Duration::ZERO, |fence| fence::grace(fence.after, task.stop_timeout)),
        limits: task.limits,
        confine: Confine::resolve(&task.confinement).map_err(PrepareError::Confine)?,
        binds: Bind::resolve(&task.mounts, place).map_err(PrepareError::Volume)?,
        folders: vec![folders.task, folders.shared],
        env: env.into_iter().collect(),
    })
}

/// What a task is called in the node's journal: `shop.api.0/web`.
fn identifier(spec: &Spec, task: &str) -> String {
    format!("{}.{}.{}/{task}", spec.job, spec.group_name, spec.index)
}

#[cfg(test)]
mod tests {
    use proto::model::{JobType, Mount, Task, Volume, VolumeSource};

    use super::super::facts::tests::node;
    use super::super::user::{DefaultUser, UserPolicy};
    use super::super::volumes::VolumePolicy;
    use super::*;
    use crate::core::spec::tests::spec;

    fn local(volumes: VolumePolicy) -> Local {
        let users = UserPolicy { default_user: DefaultUser::SameAsAgent, allow_root: true };
        Local { node: node(), users, volumes }
    }

    fn prepared(change: impl FnOnce(&mut Task)) -> Result<StartSpec, PrepareError> {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let mut spec = spec(JobType::Service, &["web"]);
        change(spec.group.tasks.get_mut("web").expect("it is there"));
        prepare(AllocId(5), &spec, "web", 2, &local(VolumePolicy::default()), dir.path())
    }

    #[test]
    fn a_volume_is_mounted_where_the_node_gives_it_and_fails_the_start_by_its_name_elsewhere() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let mut spec = spec(JobType::Service, &["web"]);
        let data = Volume { source: VolumeSource::Host("pg".into()), read_only: true };
        spec.group.volumes.insert("data".into(), data);
        let mount = Mount { volume: "data".into(), to: "/srv/data".into(), read_only: false };
        spec.group.tasks.get_mut("web").expect("it is there").mounts.push(mount);
        let given = VolumePolicy { named: [("pg".into(), dir.path().into())].into(), ..Default::default() };
        let start = prepare(AllocId(5), &spec, "web", 1, &local(given), dir.path()).expect("it is prepared");
        let bind = &start.binds[0];
        assert_eq!((bind.target.as_path(), bind.read_only), (Path::new("/srv/data"), true));
        assert_eq!(bind.source, dir.path().canonicalize().expect("it is there"));

        let error = prepare(AllocId(5), &spec, "web", 1, &local(VolumePolicy::default()), dir.path());
        let (reason, hopeless) = error.expect_err("this node has none").reason();
        let EndReason::StartFailed { step, message, .. } = reason else { panic!("{reason:?}") };
        assert_eq!((step.as_str(), hopeless, message.contains("pg")), ("volume", true, true), "{message}");
    }

    #[test]
    fn arguments_environment_and_folder_are_filled_in() {
        let start = prepared(|task| {
            task.env.insert("DB".into(), "pg-${alloc.index}".into());
            task.process.args = vec!["--listen=${addr.http}".into(), "$${x}".into(), "${env.DB}".into()];
            task.process.workdir = Some("sub".into());
        })
        .expect("it is prepared");
        assert_eq!(start.args, ["--listen=10.0.0.7:20001", "${x}", "pg-0"]);
        assert!(start.env.contains(&("DB".into(), "pg-0".into())), "{:?}", start.env);
        let workdir = start.workdir.expect("it has one");
        assert!(workdir.ends_with("tasks/web/sub"), "{workdir:?}");
        assert_eq!(start.id.attempt, 2);
    }

    #[test]
    fn env_wins_over_the_files_of_the_node_and_a_later_file_over_an_earlier() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("1.env"), "A=1\nB=1\nC=1\nHOST=db\n").expect("it is written");
        std::fs::write(path("2.env"), "B='2'\nC=2\n").expect("it is written");
        let start = prepared(|task| {
            let file = |name| proto::model::NodeEnvFile { path: path(name), optional: false };
            task.env_files = vec![file("1.env"), file("2.env")];
            task.env.insert("C".into(), "3".into());
            task.env.insert("URL".into(), "pg://${env.HOST}".into());
        })
        .expect("it is prepared");
        for (name, value) in [("A", "1"), ("B", "2"), ("C", "3"), ("URL", "pg://db")] {
            assert!(start.env.contains(&(name.into(), value.into())), "{name}: {:?}", start.env);
        }
    }

    #[test]
    fn a_missing_environment_file_is_hopeless_and_named() {
        let error = prepared(|task| {
            let path = "/etc/no-such-${job.name}.env".to_owned();
            task.env_files = vec![proto::model::NodeEnvFile { path, optional: false }];
        })
        .expect_err("it is missing");
        let (EndReason::StartFailed { step, errno, message }, hopeless) = error.reason() else {
            panic!("{error}")
        };
        assert_eq!((step.as_str(), errno, hopeless), ("env_files", 2, true));
        assert!(message.contains("/etc/no-such-shop.env"), "{message}");
    }

    #[test]
    fn a_filled_in_path_that_leads_elsewhere_is_hopeless() {
        let start = prepared(|task| task.logs.file = Some("/var/log/${alloc.index}.log".into()));
        assert_eq!(start.expect("it is prepared").logs_also.file, Some("/var/log/0.log".into()));
        let error = prepared(|task| {
            task.env.insert("WHERE".into(), "../../etc/x".into());
            task.logs.file = Some("/var/log/${env.WHERE}".into());
        })
        .expect_err("it leads elsewhere");
        assert_eq!(error.to_string(), "logs.file: \"/var/log/../../etc/x\" is not plain: it holds `..`");
        assert!(error.reason().1);
    }

    #[test]
    fn files_of_the_job_are_there_and_one_that_leaves_is_hopeless() {
        let file = |to: &str| proto::model::TaskFile { to: to.into(), content: "x".into(), mode: 0o600 };
        prepared(|task| task.files = vec![file("local/x.conf")]).expect("it is prepared");
        let error = prepared(|task| task.files = vec![file("../x")]).expect_err("it leaves");
        assert!(error.reason().1, "{error}");
    }

    #[test]
    fn an_unknown_user_is_hopeless_and_named() {
        let error = prepared(|task| task.process.user = Some("no-such-user-here".into())).expect_err("none");
        let (reason, hopeless) = error.reason();
        assert!(hopeless);
        let EndReason::StartFailed { step, message, .. } = reason else { panic!("{reason:?}") };
        assert_eq!((step.as_str(), message.contains("no-such-user-here")), ("user", true));
    }

    #[test]
    fn an_unknown_name_is_hopeless_and_named() {
        let error = prepared(|task| task.process.args = vec!["${port.nope}".into()]).expect_err("none");
        assert_eq!(error.to_string(), "args: `${port.nope}` names nothing that is known here");
        assert!(error.reason().1);
    }
}
