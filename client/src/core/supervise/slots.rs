//! Job files as slots: one place for one allocation each, known from one reading of the files to the next.

use std::collections::BTreeMap;
use std::fmt;

use proto::ids::{JobKey, JobVersion};
use proto::model::{Job, Port};

use crate::core::spec::Spec;

/// An index of a group of a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// The job.
    pub job: JobKey,
    /// The group.
    pub group: String,
    /// Its place in the group, from 0.
    pub index: u32,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.job, self.group, self.index)
    }
}

impl Slot {
    /// Returns the slot that an allocation fills.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        let job = JobKey { namespace: spec.namespace.clone(), name: spec.job.clone() };
        Self { job, group: spec.group_name.clone(), index: spec.index }
    }
}

/// Returns what jobs ask for, slot by slot; ports are not chosen yet.
#[must_use]
pub fn slots(jobs: &[Job], version: JobVersion) -> BTreeMap<Slot, Spec> {
    let mut slots = BTreeMap::new();
    for job in jobs {
        for (name, group) in &job.groups {
            for index in 0..group.count {
                let spec = Spec {
                    namespace: job.key.namespace.clone(),
                    job: job.key.name.clone(),
                    version,
                    group_name: name.clone(),
                    index,
                    kind: job.kind,
                    meta: job.meta.clone(),
                    group: group.clone(),
                    ports: BTreeMap::new(),
                    // There are no servers whom it could lose, and nobody else who would start it.
                    fence: None,
                };
                slots.insert(Slot::of(&spec), spec);
            }
        }
    }
    slots
}

/// Returns a sentence for every static port that more than one slot asks for: on one machine only one of them can have it.
#[must_use]
pub fn clashes(slots: &BTreeMap<Slot, Spec>) -> Vec<String> {
    let mut owners: BTreeMap<u16, &Slot> = BTreeMap::new();
    let mut clashes = Vec::new();
    for (slot, spec) in slots {
        for port in spec.group.ports.values() {
            let Port::Static(number) = port else { continue };
            match owners.get(number) {
                Some(owner) => clashes
                    .push(format!("port {number} is wanted by {owner} and by {slot}: only one can have it")),
                None => drop(owners.insert(*number, slot)),
            }
        }
    }
    clashes
}

/// Returns what people call a task: `job.group.index/task`, without the parts that say nothing new.
#[must_use]
pub fn label(spec: &Spec, task: &str) -> String {
    let is_alone = spec.group.count <= 1 && spec.group_name == spec.job;
    let alloc =
        if is_alone { spec.job.clone() } else { format!("{}.{}.{}", spec.job, spec.group_name, spec.index) };
    if spec.group.tasks.len() == 1 { alloc } else { format!("{alloc}/{task}") }
}

#[cfg(test)]
pub(crate) mod tests {
    use proto::model::{Group, JobType, Task};

    use super::*;

    /// A service `name` of one group and one task, both named after it.
    pub(crate) fn job(name: &str, count: u32, command: &str) -> Job {
        let tasks = BTreeMap::from([(name.to_owned(), Task::new(command))]);
        let group = Group { count, ..Group::new(JobType::Service, tasks) };
        let key = JobKey { namespace: "default".into(), name: name.into() };
        Job::new(key, JobType::Service, BTreeMap::from([(name.to_owned(), group)]))
    }

    #[test]
    fn every_index_of_every_group_is_a_slot() {
        let slots = slots(&[job("web", 2, "/bin/web"), job("db", 1, "/bin/db")], JobVersion(1));
        let names: Vec<String> = slots.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["db.db.0", "web.web.0", "web.web.1"]);
    }

    #[test]
    fn a_port_that_two_slots_want_is_named_with_both() {
        let mut web = job("web", 2, "/bin/web");
        web.groups.get_mut("web").expect("there").ports.insert("http".into(), Port::Static(8080));
        let clashes = clashes(&slots(&[web], JobVersion(1)));
        assert_eq!(clashes, ["port 8080 is wanted by web.web.0 and by web.web.1: only one can have it"]);
    }

    #[test]
    fn a_label_says_only_what_is_needed() {
        let slots = slots(&[job("web", 2, "/bin/web"), job("db", 1, "/bin/db")], JobVersion(1));
        let labels: Vec<String> = slots.values().map(|spec| label(spec, &spec.job)).collect();
        assert_eq!(labels, ["db", "web.web.0", "web.web.1"]);
        let mut spec = slots.into_values().next().expect("db");
        spec.group.tasks.insert("shipper".into(), Task::new("/bin/ship"));
        assert_eq!(label(&spec, "shipper"), "db/shipper");
    }
}
