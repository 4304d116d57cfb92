//! What an allocation runs, as it was assigned.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::ids::JobVersion;
use proto::model::{Group, JobType};
use proto::time::millis;
use proto::wire::{BadMessage, job, v1};

/// One assigned instance of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The namespace of its job.
    pub namespace: String,
    /// The name of its job.
    pub job: String,
    /// The version of its job.
    pub version: JobVersion,
    /// The name of its group.
    pub group_name: String,
    /// Its place in the group.
    pub index: u32,
    /// Whether exit 0 is the end.
    pub kind: JobType,
    /// Free text of the job.
    pub meta: BTreeMap<String, String>,
    /// What to run; its count means nothing here.
    pub group: Group,
    /// Host ports by name.
    pub ports: BTreeMap<String, u16>,
    /// Until when it may run without word from the servers; none: for ever.
    pub fence: Option<Fence>,
}

/// What keeps an allocation from running beside another one of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// So long after a heartbeat that servers have confirmed it has been stopped.
    pub after: Duration,
    /// Of two allocations of the slot the later one has the higher.
    pub token: u64,
}

impl Spec {
    /// Returns whether both are the same slot of the same job, whatever their versions.
    #[must_use]
    pub fn same_slot(&self, other: &Self) -> bool {
        (&self.namespace, &self.job, &self.group_name, self.index)
            == (&other.namespace, &other.job, &other.group_name, other.index)
    }

    /// Takes over what may change while the tasks run: restart, reschedule and logs. A spec of other work is left out:
    /// servers replace an allocation for that, they never change it.
    pub fn update_in_place(&mut self, newer: &Self) {
        if self.same_slot(newer) && self.group.same_work(&newer.group) {
            self.version = newer.version;
            self.group = newer.group.clone();
        }
    }
}

/// Writes a spec.
#[must_use]
pub fn to_wire(spec: &Spec) -> v1::AllocSpec {
    v1::AllocSpec {
        namespace: spec.namespace.clone(),
        job: spec.job.clone(),
        version: spec.version.0,
        group: spec.group_name.clone(),
        index: spec.index,
        r#type: job::job_type_to_wire(spec.kind).into(),
        meta: spec.meta.clone(),
        spec: Some(job::group_to_wire(&spec.group)),
        ports: spec.ports.iter().map(|(name, port)| (name.clone(), u32::from(*port))).collect(),
        fence_ms: spec.fence.map_or(0, |fence| millis(fence.after)),
        fence_token: spec.fence.map_or(0, |fence| fence.token),
    }
}

/// Reads a spec.
///
/// # Errors
/// [`BadMessage`] names the first field that is missing or holds what no allocation can. The names of the job, the group
/// and the tasks become parts of paths and are refused when they are no names.
pub fn from_wire(spec: v1::AllocSpec) -> Result<Spec, BadMessage> {
    let kind = job::job_type_from_wire(spec.r#type)?;
    let group = job::group_from_wire(spec.spec.ok_or(BadMessage { field: "spec" })?, kind)?;
    let ports = spec.ports.into_iter().map(|(name, port)| {
        u16::try_from(port).map(|port| (name, port)).map_err(|_| BadMessage { field: "ports" })
    });
    let after = Duration::from_millis(spec.fence_ms);
    let spec = Spec {
        fence: (!after.is_zero()).then_some(Fence { after, token: spec.fence_token }),
        kind,
        namespace: spec.namespace,
        job: spec.job,
        version: JobVersion(spec.version),
        group_name: spec.group,
        index: spec.index,
        meta: spec.meta,
        group,
        ports: ports.collect::<Result<_, _>>()?,
    };
    if spec.group.tasks.is_empty() || !spec.group.tasks.keys().all(|name| is_path_part(name)) {
        return Err(BadMessage { field: "tasks" });
    }
    Ok(spec)
}

/// Tasks have a directory each, beside the record and the directory of logs.
fn is_path_part(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.len() <= proto::limits::NAME_CHARS && name.bytes().all(plain)
}

#[cfg(test)]
pub(crate) mod tests {
    use proto::model::{Resources, Restart, Task};

    use super::*;

    /// A spec of one group `api` with these tasks, which all run `/bin/true`.
    pub(crate) fn spec(kind: JobType, tasks: &[&str]) -> Spec {
        let resources = Resources { cpu_millis: 100, memory_bytes: 1 << 20 };
        let task = Task { resources, ..Task::new("/bin/true") };
        let tasks = tasks.iter().map(|name| ((*name).to_owned(), task.clone())).collect();
        let restart = Restart { jitter_percent: 0, ..Restart::SERVICE };
        Spec {
            namespace: "default".into(),
            job: "shop".into(),
            version: JobVersion(1),
            group_name: "api".into(),
            index: 0,
            kind,
            meta: BTreeMap::new(),
            group: Group { restart, ..Group::new(JobType::Service, tasks) },
            ports: BTreeMap::from([("http".to_owned(), 20_001)]),
            fence: None,
        }
    }

    #[test]
    fn a_spec_reads_back_as_it_was_written() {
        let fence = Some(Fence { after: Duration::from_secs(10), token: 7 });
        let spec = Spec { fence, ..spec(JobType::Batch, &["web", "log-shipper"]) };
        assert_eq!(from_wire(to_wire(&spec)), Ok(spec));
    }

    #[test]
    fn a_task_whose_name_leaves_its_directory_is_refused() {
        for name in ["..", "a/b", ""] {
            let wire = to_wire(&spec(JobType::Batch, &[name]));
            assert_eq!(from_wire(wire), Err(BadMessage { field: "tasks" }), "{name:?}");
        }
    }

    #[test]
    fn other_work_never_changes_what_runs() {
        let mut held = spec(JobType::Service, &["web"]);
        let mut newer = held.clone();
        newer.version = JobVersion(2);
        newer.group.restart.attempts = None;
        held.update_in_place(&newer);
        assert_eq!((held.version, held.group.restart.attempts), (JobVersion(2), None));

        let before = held.clone();
        newer.version = JobVersion(3);
        newer.group.tasks.get_mut("web").expect("it is there").process.command = "/bin/false".into();
        held.update_in_place(&newer);
        assert_eq!(held, before);
    }
}
