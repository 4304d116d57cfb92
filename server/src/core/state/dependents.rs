//! Who waits for whom: an index over the present versions of jobs, so that a change of one finds those that it may let begin.

use std::collections::BTreeSet;

use imbl::OrdSet;
use proto::ids::JobKey;
use proto::model::Job;

/// Pairs of a job, which may not be there, and another that has a group which depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependents {
    pairs: OrdSet<(JobKey, JobKey)>,
}

impl Dependents {
    /// Returns the jobs that depend on a job, itself left out: what a job's groups want of each other it sees with its own changes.
    pub fn of<'a>(&'a self, job: &'a JobKey) -> impl Iterator<Item = &'a JobKey> {
        let first = (job.clone(), JobKey::new("", ""));
        self.pairs.range(first..).take_while(move |(on, _)| on == job).map(|(_, who)| who)
    }

    /// Takes over what a job depends on instead of what it did; none: it is gone or new.
    pub(super) fn replace(&mut self, before: Option<&Job>, after: Option<&Job>) {
        for (on, who) in before.into_iter().flat_map(pairs) {
            self.pairs.remove(&(on, who));
        }
        self.pairs.extend(after.into_iter().flat_map(pairs));
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

fn pairs(job: &Job) -> BTreeSet<(JobKey, JobKey)> {
    let all = job.groups.values().flat_map(|group| &group.depends_on);
    let others = all.filter_map(|dependency| dependency.job.as_ref()).filter(|other| **other != job.key.name);
    others.map(|other| (JobKey::new(job.key.namespace.clone(), other.clone()), job.key.clone())).collect()
}
