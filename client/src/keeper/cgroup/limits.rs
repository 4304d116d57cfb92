//! What the kernel enforces on an attempt, in the words of both versions. A limit that cannot be set fails the start: one
//! that is only believed in is worse than none.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::mounts::Controller;
use super::{Groups, make_dir, open_procs};
use crate::keeper::message::Confine;

/// Why an attempt's groups could not be made as they should be.
#[derive(Debug, thiserror::Error)]
pub(in crate::keeper) enum LimitError {
    /// The group itself.
    #[error("cannot make a control group: {0}")]
    Group(#[source] io::Error),
    /// Nothing on this machine can enforce it.
    #[error(
        "this node cannot limit {}: {why}; run the task without this limit, or on a node that has the controller",
        .controller.name()
    )]
    Missing {
        /// What was asked for.
        controller: Controller,
        /// What is known about its absence.
        why: String,
    },
    /// The kernel does not take it.
    #[error("cannot write {value} to {}: {source}", file.display())]
    Write {
        /// Where.
        file: PathBuf,
        /// What.
        value: String,
        /// Why not.
        source: io::Error,
    },
}

impl LimitError {
    /// Returns the system's number (0 without one), and whether another try must fail, too.
    pub(in crate::keeper) fn nature(&self) -> (i32, bool) {
        let passing = [libc::EAGAIN, libc::ENOMEM, libc::ENOSPC, libc::EINTR, libc::EMFILE, libc::ENFILE];
        match self {
            LimitError::Missing { .. } => (0, true),
            LimitError::Group(error) => (error.raw_os_error().unwrap_or(0), false),
            LimitError::Write { source, .. } => {
                let errno = source.raw_os_error().unwrap_or(0);
                (errno, !passing.contains(&errno))
            }
        }
    }
}

/// One file to write; a missing one is an error unless it is optional.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    file: &'static str,
    value: String,
    optional: bool,
}

/// The kernel's own bounds of `cpu.max` and `cfs_quota_us`, in µs.
const PERIOD_US: u64 = 100_000;
const PERIOD_LONGEST_US: u64 = 1_000_000;
const QUOTA_LEAST_US: u64 = 1_000;

impl Groups {
    /// Sets all limits of a slot; returns the `cgroup.procs` to join besides that of the home.
    pub(super) fn set_limits(&self, slot: u64, confine: &Confine) -> Result<Vec<File>, LimitError> {
        let mut joined: Vec<PathBuf> = Vec::new();
        for controller in [Controller::Memory, Controller::Cpu, Controller::Pids] {
            let wanted = |v2| settings(controller, confine, v2);
            if wanted(true).is_empty() {
                continue;
            }
            let (group, v2) = self.place(controller, slot)?;
            make_dir(&group).map_err(LimitError::Group)?;
            for setting in wanted(v2) {
                set(&group, &setting)?;
            }
            // Two controllers of one v1 hierarchy share a group.
            if Some(&group) != self.home_group(slot).as_ref() && !joined.contains(&group) {
                joined.push(group);
            }
        }
        joined.iter().map(|group| open_procs(group).map_err(LimitError::Group)).collect()
    }

    /// Finds the group in which a slot can be limited, and whether that is v2.
    fn place(&self, controller: Controller, slot: u64) -> Result<(PathBuf, bool), LimitError> {
        let missing = |why: String| Err(LimitError::Missing { controller, why });
        let name = controller.name();
        let Some(home) = self.home() else {
            return missing("its agent may not make control groups, or was told not to".into());
        };
        let mut why = format!("no control group hierarchy here has the controller `{name}`");
        if home.v2 {
            match home.enable(&self.base(home), controller) {
                Ok(()) => return Ok((self.group(home, slot), true)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    why = format!(
                        "{} has the controller `{name}` and does not hand it on: {error}",
                        home.mount.display()
                    );
                }
            }
        }
        let Some(v1) = self.hierarchies.iter().find(|one| !one.v2 && one.has(name)) else {
            return missing(why);
        };
        match fs::create_dir_all(self.base(v1)) {
            Ok(()) => Ok((self.group(v1, slot), false)),
            Err(error) => {
                missing(format!("the hierarchy {} cannot be written to: {error}", v1.mount.display()))
            }
        }
    }
}

fn settings(controller: Controller, confine: &Confine, v2: bool) -> Vec<Setting> {
    let must = |file, value: String| Setting { file, value, optional: false };
    // There is no such file where the kernel does not count swap.
    let may = |file, value: String| Setting { file, value, optional: true };
    let memory = |bytes: u64| match v2 {
        true => vec![must("memory.max", bytes.to_string()), may("memory.swap.max", "0".into())],
        // In this order: memory and swap together must not be less than memory.
        false => vec![
            must("memory.limit_in_bytes", bytes.to_string()),
            may("memory.memsw.limit_in_bytes", bytes.to_string()),
        ],
    };
    let cpu = |millis: u64| {
        let (quota, period) = quota(millis);
        match v2 {
            true => vec![must("cpu.max", format!("{quota} {period}"))],
            false => vec![
                must("cpu.cfs_period_us", period.to_string()),
                must("cpu.cfs_quota_us", quota.to_string()),
            ],
        }
    };
    // The init of its pid namespace is not the job's.
    let pids = |pids: u32| vec![must("pids.max", (u64::from(pids) + u64::from(confine.pid)).to_string())];
    match controller {
        Controller::Memory => confine.memory_bytes.map(memory),
        Controller::Cpu => confine.cpu_millis.map(cpu),
        Controller::Pids => confine.pids.map(pids),
    }
    .unwrap_or_default()
}

/// Returns quota and period in µs. A period of 100 ms is the kernel's own; tiny shares need a longer one.
fn quota(millis: u64) -> (u64, u64) {
    let share = |period: u64| millis.saturating_mul(period / 1000);
    let period = if share(PERIOD_US) < QUOTA_LEAST_US { PERIOD_LONGEST_US } else { PERIOD_US };
    (share(period).max(QUOTA_LEAST_US), period)
}

fn set(group: &Path, setting: &Setting) -> Result<(), LimitError> {
    let file = group.join(setting.file);
    match fs::write(&file, &setting.value) {
        Err(source) if setting.optional && !file.exists() => drop(source),
        Err(source) => return Err(LimitError::Write { file, value: setting.value.clone(), source }),
        Ok(()) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_cpu_stays_within_the_bounds_of_the_kernel() {
        assert_eq!(quota(500), (50_000, 100_000));
        assert_eq!(quota(4000), (400_000, 100_000));
        assert_eq!(quota(5), (5_000, 1_000_000));
        assert_eq!(quota(1), (1_000, 1_000_000));
    }

    #[test]
    fn both_versions_get_the_same_limits_in_their_own_words() {
        let all =
            Confine { memory_bytes: Some(64 << 20), cpu_millis: Some(1500), pids: Some(7), ..<_>::default() };
        let words = |v2| -> Vec<String> {
            [Controller::Memory, Controller::Cpu, Controller::Pids]
                .into_iter()
                .flat_map(|controller| settings(controller, &all, v2))
                .map(|setting| format!("{}={}", setting.file, setting.value))
                .collect()
        };
        assert_eq!(
            words(true),
            ["memory.max=67108864", "memory.swap.max=0", "cpu.max=150000 100000", "pids.max=7"]
        );
        let v1 = [
            "memory.limit_in_bytes=67108864",
            "memory.memsw.limit_in_bytes=67108864",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_quota_us=150000",
            "pids.max=7",
        ];
        assert_eq!(words(false), v1);
    }

    #[test]
    fn without_groups_a_limit_is_refused_and_nothing_else_is() {
        let none = Groups::none();
        assert!(none.create(1, &Confine::default()).is_ok());
        let limited = Confine { memory_bytes: Some(1 << 20), ..<_>::default() };
        let error = none.create(1, &limited).unwrap_err();
        assert!(error.to_string().starts_with("this node cannot limit memory: its agent may not"), "{error}");
        assert!(error.nature().1, "it must fail again");
    }

    /// A v2 hierarchy of plain files, for machines whose controllers are all in v1.
    fn pretended(controllers: &str) -> (tempfile::TempDir, Groups) {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("minijob/name");
        fs::create_dir_all(base.join("t7")).unwrap();
        fs::write(dir.path().join("cgroup.controllers"), controllers).unwrap();
        fs::write(base.join("t7/cgroup.procs"), "").unwrap();
        let mounts = format!("cgroup2 {} cgroup2 rw 0 0\n", dir.path().display());
        let hierarchies = super::super::mounts::hierarchies(&mounts, super::super::Choice::V2);
        (dir, Groups { name: "name".into(), hierarchies, has_home: true })
    }

    #[test]
    fn on_v2_controllers_are_handed_down_and_the_attempt_has_one_group() {
        let (dir, groups) = pretended("cpuset cpu io memory pids\n");
        let all =
            Confine { memory_bytes: Some(4096), cpu_millis: Some(250), pids: Some(3), ..<_>::default() };
        let made = groups.create(7, &all).unwrap();
        assert!(made.dir.is_some() && made.procs.is_some() && made.others.is_empty());
        let read = |file: &str| fs::read_to_string(dir.path().join("minijob/name/t7").join(file)).unwrap();
        assert_eq!(["memory.max", "cpu.max", "pids.max"].map(read), ["4096", "25000 100000", "3"]);
        for level in ["", "minijob", "minijob/name"] {
            let last = fs::read_to_string(dir.path().join(level).join("cgroup.subtree_control")).unwrap();
            assert_eq!(last, "+pids", "{level}: the last of three orders");
        }
    }

    #[test]
    fn a_hierarchy_that_hands_nothing_on_says_so() {
        let (dir, groups) = pretended("memory\n");
        // Where processes sit in an inner group the kernel refuses; here it is a directory that does.
        fs::create_dir(dir.path().join("cgroup.subtree_control")).unwrap();
        let says = |confine: Confine| groups.create(7, &confine).unwrap_err().to_string();
        let text = says(Confine { memory_bytes: Some(4096), ..<_>::default() });
        assert!(text.contains("has the controller `memory` and does not hand it on"), "{text}");
        let text = says(Confine { pids: Some(3), ..<_>::default() });
        assert!(text.contains("no control group hierarchy here has the controller `pids`"), "{text}");
    }
}
