//! New versions of a job that nobody wrote a file for: scaled, reverted, restarted; and a stopped job starts again.

use std::sync::Arc;

use proto::error::Kind as ErrorKind;
use proto::ids::{JobKey, JobVersion};
use proto::model::Job;

use crate::core::state::{Changes, JobRecord, Outcome, Refusal, State};

impl State {
    /// Changes one count. The same count changes nothing.
    pub(super) fn scale_job(
        &mut self,
        key: &JobKey,
        group: &str,
        count: u32,
        actor: String,
        changes: &mut Changes,
    ) -> Outcome {
        let record = match self.job_that_runs(key, "scale") {
            Ok(record) => record,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let mut job = record.current().job.as_ref().clone();
        let name = match meant_group(&job, group) {
            Ok(name) => name,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let Some(group) = job.groups.get_mut(&name) else { return self.written(key, false) };
        if group.kind.is_per_node() {
            let message = format!("group `{name}` of job `{key}` has no count: it runs once on every node");
            let hint = "`constraints` in its file say on which nodes it runs";
            return Outcome::Refused(Refusal::new(ErrorKind::Refused, message).hint(hint));
        }
        if group.singleton && count > 1 {
            let message =
                format!("group `{name}` of job `{key}` is a singleton: it has one allocation at most");
            let hint = "leave `singleton` out of its file; `disconnect: {stop_after: 10s}` keeps each of several from running twice";
            return Outcome::Refused(Refusal::new(ErrorKind::Refused, message).hint(hint));
        }
        let message = format!("{name} scaled from {} to {count}", group.count);
        group.count = count;
        self.put_job(job, None, actor, message, changes)
    }

    /// Starts a stopped job again with the description it has. Nothing changes when it is not stopped.
    pub(super) fn start_job(&mut self, key: &JobKey, actor: &str, changes: &mut Changes) -> Outcome {
        match self.jobs.get(key).cloned() {
            None => Outcome::Refused(no_job(key)),
            Some(record) if !record.stopped => self.written(key, false),
            Some(record) => self.update_job(&record, None, &format!("started again by {actor}"), changes),
        }
    }

    /// Makes the description of a version that is kept a new version. Nothing changes when it is the present one and runs.
    pub(super) fn revert_job(
        &mut self,
        key: &JobKey,
        to: JobVersion,
        actor: String,
        changes: &mut Changes,
    ) -> Outcome {
        let Some(record) = self.jobs.get(key) else { return Outcome::Refused(no_job(key)) };
        let Some(version) = record.version(to) else {
            let kept: Vec<String> = record.versions.iter().map(|kept| kept.version.to_string()).collect();
            let message = format!("version {to} of job `{key}` is not kept: there is {}", kept.join(", "));
            let hint = format!("`minijob history {}` shows what each of them changed", key.name);
            return Outcome::Refused(Refusal::new(ErrorKind::NotFound, message).hint(hint));
        };
        let job = version.job.as_ref().clone();
        self.put_job(job, None, actor, format!("reverted to version {to}"), changes)
    }

    /// Replaces all of a job's work by the same, one after the other or at once; of a batch job also what is complete.
    pub(super) fn restart_job(
        &mut self,
        key: &JobKey,
        at_once: bool,
        actor: String,
        changes: &mut Changes,
    ) -> Outcome {
        let record = match self.job_that_runs(key, "restart") {
            Ok(record) => record,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let said = format!("restarted by {actor}");
        let job = record.current().job.as_ref().clone();
        let mut next = self.new_version(Some(record.current()), job, actor, "restarted".to_owned());
        let version = next.version;
        next.work.values_mut().for_each(|work| *work = version);
        next.at_once = at_once;
        self.update_job(&record, Some(next), &said, changes)
    }

    fn job_that_runs(&self, key: &JobKey, verb: &str) -> Result<Arc<JobRecord>, Refusal> {
        let record = self.jobs.get(key).ok_or_else(|| no_job(key))?;
        if record.stopped { Err(stopped(key, verb)) } else { Ok(record.clone()) }
    }
}

pub(super) fn stopped(key: &JobKey, verb: &str) -> Refusal {
    let message = format!("job `{key}` is stopped, so there is nothing to {verb}");
    Refusal::new(ErrorKind::Refused, message).hint(format!("`minijob start {}` starts it again", key.name))
}

fn no_job(key: &JobKey) -> Refusal {
    Refusal::new(ErrorKind::NotFound, format!("there is no job `{key}`"))
}

/// Returns the group that is meant: by its name, or the only one.
fn meant_group(job: &Job, name: &str) -> Result<String, Refusal> {
    let names: Vec<&str> = job.groups.keys().map(String::as_str).collect();
    let has = format!("it has {}", names.join(", "));
    match (name, names.as_slice()) {
        ("", [only]) => Ok((*only).to_owned()),
        ("", several) => {
            let message = format!("job `{}` has {} groups: name one", job.key, several.len());
            Err(Refusal::new(ErrorKind::Invalid, message).hint(has))
        }
        (name, _) if job.groups.contains_key(name) => Ok(name.to_owned()),
        (name, _) => {
            let message = format!("job `{}` has no group `{name}`", job.key);
            Err(Refusal::new(ErrorKind::NotFound, message).hint(has))
        }
    }
}
