//! From what was assigned to what the driver starts.

use std::path::{Path, PathBuf};

use proto::ids::AllocId;
use proto::jobfile::interpolate::{self, render};
use proto::model::EndReason;

use super::facts::{Facts, NodeFacts};
use super::folders::Folders;

use super::user::{self, UserError, UserPolicy};
use crate::core::spec::Spec;
use crate::driver::confine::{NoPlace, UnknownName};
use crate::driver::{AttemptId, Bind, Confine, LogPolicy, StartSpec};

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
    /// A limit or capability has a name that this agent does not know.
    #[error("{0}")]
    Confine(UnknownName),
    /// A volume that it mounts is not to be had.
    #[error("mount {0}")]
    Volume(NoPlace),
    /// A folder could not be made.
    #[error("cannot make {}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl PrepareError {
    /// Returns what servers are told, and whether the same start must fail again.
    #[must_use]
    pub fn reason(&self) -> (EndReason, bool) {
        let (step, errno, hopeless) = match self {
            Self::User(UserError::Lookup { errno, .. }) => ("user", *errno as i32, false),
            Self::User(_) => ("user", 0, true),
            Self::Interpolate { .. } => ("interpolate", 0, true),
            Self::Confine(_) => ("confine", 0, true),
            Self::Volume(_) => ("volume", 0, true),
            // A full disk may have room again.
            Self::Folder { source, .. } => ("folder", source.raw_os_error().unwrap_or(0), false),
        };
        (EndReason::StartFailed { step: step.into(), errno, message: self.to_string() }, hopeless)
    }
}

/// Makes the folders of a task and returns what the driver is to start. Blocks on the disk and the user database; a second
/// call for the same attempt gives the same.
///
/// # Errors
/// See [`PrepareError`].
pub fn prepare(
    alloc: AllocId,
    spec: &Spec,
    task_name: &str,
    attempt: u32,
    node: &NodeFacts,
    users: &UserPolicy,
    alloc_folder: &Path,
) -> Result<StartSpec, PrepareError> {
    let task = &spec.group.tasks[task_name];
    let folders = Folders::of(alloc_folder, task_name);
    let identity = user::resolve(task.process.user.as_deref(), users).map_err(PrepareError::User)?;
    let facts =
        Facts { node, alloc, spec, task_name, task, task_dir: &folders.task, alloc_dir: &folders.shared };
    let mut env = facts.environment();
    if let Some(identity) = &identity {
        env.insert("HOME".into(), identity.home.display().to_string());
    }
    let base = env.clone();
    let fill = |field, text: &str, env| {
        render(text, &|name| facts.look_up(name, env))
            .map_err(|unknown| PrepareError::Interpolate { field, unknown })
    };
    for (name, value) in &task.env {
        env.insert(name.clone(), fill("env", value, &base)?);
    }
    let args = task.process.args.iter().map(|arg| fill("args", arg, &env)).collect::<Result<_, _>>()?;
    let workdir = match &task.process.workdir {
        // A relative one is meant from the task's own directory; an absolute one replaces it.
        Some(workdir) => folders.task.join(fill("workdir", workdir, &env)?),
        None => folders.task.clone(),
    };
    folders
        .make(identity.as_ref().map(|identity| &identity.user))
        .map_err(|(path, source)| PrepareError::Folder { path, source })?;
    Ok(StartSpec {
        id: AttemptId { alloc: alloc.0, task: task_name.to_owned(), attempt },
        command: task.process.command.clone(),
        args,
        env: env.into_iter().collect(),
        workdir: Some(workdir),
        user: identity.map(|identity| identity.user),
        log_dir: folders.logs,
        logs: LogPolicy { files: task.logs.max_files, file_bytes: task.logs.max_file_bytes },
        stop_signal: task.stop_signal,
        stop_timeout: task.stop_timeout,
        deadline_boot_ms: None,
        limits: task.limits,
        confine: Confine::resolve(&task.confinement).map_err(PrepareError::Confine)?,
        // No volume of this machine is known to be given to jobs.
        binds: Bind::resolve(&task.mounts, |_| None).map_err(PrepareError::Volume)?,
        folders: vec![folders.task, folders.shared],
    })
}

#[cfg(test)]
mod tests {
    use proto::model::{JobType, Task};

    use super::super::facts::tests::node;
    use super::super::user::DefaultUser;
    use super::*;
    use crate::core::spec::tests::spec;

    const USERS: UserPolicy = UserPolicy { default_user: DefaultUser::SameAsAgent, allow_root: true };

    fn prepared(change: impl FnOnce(&mut Task)) -> Result<StartSpec, PrepareError> {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let mut spec = spec(JobType::Service, &["web"]);
        change(spec.group.tasks.get_mut("web").expect("it is there"));
        prepare(AllocId(5), &spec, "web", 2, &node(), &USERS, dir.path())
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
