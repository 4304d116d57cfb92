//! Jobs are submitted and stopped.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::error::Kind as ErrorKind;
use proto::ids::{JobKey, JobVersion};
use proto::model::{EventKind, Job, Subject};

use crate::core::job_diff::differences;
use crate::core::state::events::Fact;
use crate::core::state::{Changes, JobRecord, NodeSlots, Outcome, Refusal, State, VersionRecord};
use crate::limits::CHANGES_IN_HISTORY;

impl State {
    pub(super) fn put_job(
        &mut self,
        job: Job,
        expected: Option<JobVersion>,
        actor: String,
        message: String,
        changes: &mut Changes,
    ) -> Outcome {
        let key = job.key.clone();
        let known = self.jobs.get(&key).cloned();
        let present = known.as_ref().map_or(JobVersion(0), |record| record.current().version);
        if let Some(expected) = expected.filter(|expected| *expected != present) {
            return Outcome::Refused(Refusal::new(ErrorKind::Conflict, not_at(&key, present, expected)));
        }
        let same = known.as_ref().is_some_and(|record| *record.current().job == job);
        match known {
            Some(record) if same && !record.stopped => self.written(&key, false),
            Some(record) => {
                let what = what_changed(record.current(), &job);
                let next = (!same).then(|| self.new_version(Some(record.current()), job, actor, message));
                let said = match (record.stopped, same) {
                    (true, true) => "started again".to_owned(),
                    (true, false) => format!("started again and changed {what}"),
                    _ => format!("changed {what}"),
                };
                self.update_job(&record, next, &said, changes)
            }
            None => self.create_job(job, actor, message, changes),
        }
    }

    fn create_job(&mut self, job: Job, actor: String, message: String, changes: &mut Changes) -> Outcome {
        let key = job.key.clone();
        let first = self.new_version(None, job, actor, message);
        let record = JobRecord {
            key: Arc::new(key.clone()),
            stopped: false,
            purge: false,
            created_at: self.now,
            created: self.at(),
            modified: self.at(),
            groups: first.job.groups.keys().map(|name| (name.clone(), Default::default())).collect(),
            versions: vec![Arc::new(first)],
            live: Default::default(),
            ended: Default::default(),
            leaving: Default::default(),
            filled: Default::default(),
            lost: Default::default(),
            completion_announced: false,
        };
        self.dependents.replace(None, Some(&record.current().job));
        self.jobs.insert(key.clone(), record);
        self.note_per_node(&key);
        let said = format!("job `{key}` was submitted");
        self.record(changes, Fact::info(EventKind::JobSubmitted, Subject::job(&key), said));
        changes.jobs.insert(key.clone());
        self.written(&key, true)
    }

    /// Makes a version the present one; none starts a stopped job again as it was. What had failed is tried anew where the work
    /// changed or the job had been stopped.
    pub(super) fn update_job(
        &mut self,
        before: &JobRecord,
        next: Option<VersionRecord>,
        said: &str,
        changes: &mut Changes,
    ) -> Outcome {
        let key = before.key.as_ref().clone();
        let was_stopped = before.stopped;
        let next = next.map(Arc::new);
        let (at, kept) = (self.at(), self.settings.versions);
        let in_use = self.versions_in_use(before);
        if let Some(record) = self.jobs.get_mut(&key) {
            (record.stopped, record.purge, record.completion_announced) = (false, false, false);
            record.modified = at;
            let previous = record.current().clone();
            if let Some(next) = next {
                self.dependents.replace(Some(&previous.job), Some(&next.job));
                record.versions.push(next);
            }
            forget_versions(record, kept, &in_use);
            let current = record.current().clone();
            record.groups.retain(|name, _| current.work.contains_key(name));
            for (name, work) in &current.work {
                let group = record.groups.entry(name.clone()).or_default();
                if was_stopped || previous.work.get(name) != Some(work) {
                    group.begin_work();
                }
                match current.job.groups.get(name) {
                    Some(spec) if spec.kind.is_per_node() => {}
                    spec => {
                        group.node_slots = NodeSlots::default();
                        let filled = record.filled.get(name.as_str()).map_or(0, imbl::OrdMap::len);
                        group.shrink(spec.map_or(0, |spec| spec.count), filled);
                    }
                }
            }
        }
        self.note_per_node(&key);
        let kind = if was_stopped { EventKind::JobSubmitted } else { EventKind::JobUpdated };
        self.record(changes, Fact::info(kind, Subject::job(&key), format!("job `{key}` was {said}")));
        changes.jobs.insert(key.clone());
        self.written(&key, true)
    }

    /// Keeps the list of the jobs that run once per node in step with the present version of one.
    pub(in crate::core::state) fn note_per_node(&mut self, key: &JobKey) {
        let record = self.jobs.get(key);
        if record
            .is_some_and(|record| record.current().job.groups.values().any(|group| group.kind.is_per_node()))
        {
            self.per_node.insert(key.clone());
        } else {
            self.per_node.remove(key);
        }
    }

    pub(super) fn new_version(
        &self,
        before: Option<&Arc<VersionRecord>>,
        job: Job,
        actor: String,
        message: String,
    ) -> VersionRecord {
        let version = before.map_or(JobVersion(1), |before| before.version.next());
        let work_of = |name: &String| {
            let before = before?;
            let same =
                before.job.meta == job.meta && before.job.groups.get(name)?.same_work(job.groups.get(name)?);
            same.then(|| before.work.get(name).copied()).flatten()
        };
        let work: BTreeMap<String, JobVersion> =
            job.groups.keys().map(|name| (name.clone(), work_of(name).unwrap_or(version))).collect();
        VersionRecord {
            version,
            job: Arc::new(job),
            at: self.now,
            actor,
            message,
            revision: self.at(),
            work,
            at_once: false,
        }
    }

    fn versions_in_use(&self, record: &JobRecord) -> Vec<JobVersion> {
        record.live.iter().filter_map(|id| self.allocs.get(*id)).map(|alloc| alloc.version).collect()
    }

    pub(super) fn stop_job(
        &mut self,
        key: &JobKey,
        purge: bool,
        actor: &str,
        changes: &mut Changes,
    ) -> Outcome {
        let Some(record) = self.jobs.get(key) else {
            return Outcome::Refused(Refusal::new(ErrorKind::NotFound, format!("there is no job `{key}`")));
        };
        if record.stopped && (record.purge || !purge) {
            return self.written(key, false);
        }
        let newly = !record.stopped;
        let at = self.at();
        if let Some(record) = self.jobs.get_mut(key) {
            (record.stopped, record.purge, record.modified) = (true, purge, at);
            record.groups.values_mut().for_each(|group| group.wait = None);
        }
        if newly {
            let said = format!("job `{key}` was stopped by {actor}");
            self.record(changes, Fact::info(EventKind::JobStopped, Subject::job(key), said));
        }
        changes.jobs.insert(key.clone());
        let outcome = self.written(key, true);
        self.purge_if_over(key, changes);
        outcome
    }

    pub(super) fn written(&self, key: &JobKey, changed: bool) -> Outcome {
        let version = self.jobs.get(key).map_or(JobVersion(0), |record| record.current().version);
        Outcome::Written { changed, version, revision: self.at() }
    }
}

/// Says what a new description changes, as the history of versions does: `to version 3: groups.web.count`.
fn what_changed(before: &VersionRecord, after: &Job) -> String {
    let mut keys: Vec<String> =
        differences(&before.job, after).into_iter().map(|difference| difference.key).collect();
    let left_out = keys.len().saturating_sub(CHANGES_IN_HISTORY);
    keys.truncate(CHANGES_IN_HISTORY);
    if left_out > 0 {
        keys.push(format!("and {left_out} more"));
    }
    format!("to version {}: {}", before.version.next(), keys.join(", "))
}

/// Says why a job is not at the version that was expected; 0 is the one of a job that is not there.
fn not_at(key: &JobKey, present: JobVersion, expected: JobVersion) -> String {
    match (present.0, expected.0) {
        (0, _) => format!("there is no job `{key}`, so it has no version {expected} yet"),
        (_, 0) => format!("job `{key}` exists already, at version {present}"),
        _ if expected > present => {
            format!("job `{key}` has no version {expected} yet: it is at version {present}")
        }
        _ => format!("job `{key}` is at version {present}, not {expected}: somebody changed it meanwhile"),
    }
}

/// Forgets the oldest versions beyond `kept`, except those that something runs.
fn forget_versions(record: &mut JobRecord, kept: usize, in_use: &[JobVersion]) {
    let beyond = record.versions.len().saturating_sub(kept.max(1));
    let mut at = 0;
    record.versions.retain(|version| {
        at += 1;
        at > beyond || in_use.contains(&version.version)
    });
}
