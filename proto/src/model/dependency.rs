//! What a group waits for before it is placed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Group;

/// Another group, or all groups of another job, and what is waited for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// Another job of the namespace, never the job itself; none: the group's own job.
    pub job: Option<String>,
    /// The group; none: all groups of the other job.
    pub group: Option<String>,
    /// What must be so.
    pub condition: Condition,
}

/// What must be so of every allocation that the other group wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Its main tasks have started.
    #[default]
    Started,
    /// It is healthy.
    Healthy,
    /// It has done its work.
    Completed,
}

impl Condition {
    /// All, as a file and a sentence name them.
    pub const WORDS: [(&'static str, Self); 3] =
        [("started", Self::Started), ("healthy", Self::Healthy), ("completed", Self::Completed)];

    /// Returns its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Healthy => "healthy",
            Self::Completed => "completed",
        }
    }
}

impl fmt::Display for Dependency {
    /// ``group `db` of job `shop` ``, without the job where it is the group's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.group, &self.job) {
            (Some(group), Some(job)) => write!(f, "group `{group}` of job `{job}`"),
            (Some(group), None) => write!(f, "group `{group}`"),
            (None, Some(job)) => write!(f, "job `{job}`"),
            (None, None) => f.write_str("nothing"),
        }
    }
}

/// What is wrong with a dependency within its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It names neither a group nor a job.
    Empty,
    /// The group is waited for by itself: it is named, or its whole job is.
    Itself,
    /// The job has no such group.
    Unknown,
    /// The group is of a service, which never completes.
    NeverCompletes,
    /// An earlier one of the group names the same.
    Twice,
    /// Groups that wait for each other: from the one that the dependency names back to the group itself.
    Cycle(Vec<String>),
}

/// Finds what is wrong with the dependencies of a job's groups: the group, the number of the dependency, and what.
///
/// `job` is the job's own name. What depends on other jobs is known only where these are. A cycle is told once, at the last
/// dependency that closes it.
#[must_use]
pub fn faults(job: &str, groups: &BTreeMap<String, Group>) -> Vec<(String, usize, Wrong)> {
    let mut found = Vec::new();
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, group) in groups {
        let mut named = BTreeSet::new();
        for (at, dependency) in group.depends_on.iter().enumerate() {
            let twice = !named.insert((&dependency.job, &dependency.group));
            let wrong = wrong(job, groups, name, dependency).or_else(|| twice.then_some(Wrong::Twice));
            let wrong = match (wrong, own_group(dependency)) {
                (None, Some(other)) => {
                    let cycle = path(&edges, other, name).map(Wrong::Cycle);
                    if cycle.is_none() {
                        edges.entry(name).or_default().insert(other);
                    }
                    cycle
                }
                (wrong, _) => wrong,
            };
            found.extend(wrong.map(|wrong| (name.clone(), at, wrong)));
        }
    }
    found
}

fn own_group(dependency: &Dependency) -> Option<&str> {
    dependency.group.as_deref().filter(|_| dependency.job.is_none())
}

fn wrong(job: &str, groups: &BTreeMap<String, Group>, name: &str, dependency: &Dependency) -> Option<Wrong> {
    match (&dependency.job, &dependency.group) {
        (None, None) => Some(Wrong::Empty),
        (Some(other), _) => (other == job).then_some(Wrong::Itself),
        (None, Some(other)) if other == name => Some(Wrong::Itself),
        (None, Some(other)) => match groups.get(other) {
            None => Some(Wrong::Unknown),
            Some(group) => {
                let never = dependency.condition == Condition::Completed && !group.kind.has_an_end();
                never.then_some(Wrong::NeverCompletes)
            }
        },
    }
}

/// Returns the way from one group to another along what they wait for, both included.
fn path(edges: &BTreeMap<&str, BTreeSet<&str>>, from: &str, to: &str) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if at == to {
            let mut way = vec![at.to_owned()];
            let mut here = at;
            while here != from {
                here = came_from.get(here)?;
                way.push(here.to_owned());
            }
            way.reverse();
            return Some(way);
        }
        for next in edges.get(at).into_iter().flatten() {
            if *next != from && !came_from.contains_key(next) {
                came_from.insert(next, at);
                open.push(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::JobType;

    /// Groups `NAME: OTHERS`, each other as `GROUP` or `JOB/GROUP`.
    fn found(kind: JobType, condition: Condition, groups: &[(&str, &[&str])]) -> Vec<(String, usize, Wrong)> {
        let dependency = |text: &&str| {
            let (job, group) = text.split_once('/').map_or((None, *text), |(job, group)| (Some(job), group));
            let group = Some(group).filter(|group| !group.is_empty()).map(str::to_owned);
            Dependency { job: job.map(str::to_owned), group, condition }
        };
        let group = |others: &[&str]| Group {
            depends_on: others.iter().map(dependency).collect(),
            ..Group::new(kind, BTreeMap::new())
        };
        let groups = groups.iter().map(|(name, others)| ((*name).to_owned(), group(others))).collect();
        faults("shop", &groups)
    }

    #[test]
    fn a_chain_and_a_diamond_are_well() {
        let groups: [(&str, &[&str]); 4] =
            [("a", &["b", "c"]), ("b", &["d"]), ("c", &["d", "other/x"]), ("d", &["other/"])];
        assert_eq!(found(JobType::Service, Condition::Healthy, &groups), []);
        assert_eq!(found(JobType::Batch, Condition::Completed, &groups), []);
    }

    #[test]
    fn groups_that_wait_for_each_other_are_a_cycle_told_once() {
        let groups: [(&str, &[&str]); 4] = [("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a"])];
        let cycle = Wrong::Cycle(["a", "b", "c"].map(str::to_owned).to_vec());
        assert_eq!(found(JobType::Service, Condition::Started, &groups), [("c".to_owned(), 0, cycle)]);
    }

    #[test]
    fn what_can_never_be_is_wrong() {
        let one = |kind, condition, other: &[&str]| {
            let found = found(kind, condition, &[("a", other), ("b", &[])]);
            found.into_iter().map(|(_, at, wrong)| (at, wrong)).collect::<Vec<_>>()
        };
        let service = JobType::Service;
        assert_eq!(one(service, Condition::Started, &["a"]), [(0, Wrong::Itself)]);
        assert_eq!(one(service, Condition::Started, &["shop/"]), [(0, Wrong::Itself)]);
        assert_eq!(one(service, Condition::Started, &[""]), [(0, Wrong::Empty)]);
        assert_eq!(one(service, Condition::Started, &["b", "x"]), [(1, Wrong::Unknown)]);
        assert_eq!(one(service, Condition::Healthy, &["b", "b"]), [(1, Wrong::Twice)]);
        assert_eq!(one(service, Condition::Completed, &["b"]), [(0, Wrong::NeverCompletes)]);
        assert_eq!(one(JobType::Batch, Condition::Completed, &["b", "x/b"]), []);
    }
}
