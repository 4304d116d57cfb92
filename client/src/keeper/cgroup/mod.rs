//! Control groups: which processes belong to an attempt, how to kill all of them, what they may use and what they used.
//!
//! One hierarchy, the *home*, has a group for every attempt. v2 is the home wherever it is mounted, also beside v1
//! controllers (hybrid), because a child can be born into its group and `cgroup.kill` exists; else the v1 freezer (which
//! can hold a fork bomb still), `pids` or `name=systemd`. Limits are set in the home if it is v2 and has the controller, else in
//! a second group in the v1 hierarchy of that controller, made only for attempts that ask for the limit: joining a v1
//! group costs milliseconds of waiting. The groups lie at `minijob/KEEPER/` directly below the root, outside any unit of the agent.
//!
//! In reading order: [`mounts`] finds hierarchies, this file has the groups, [`limits`] sets, [`usage`] reads, [`stale`] sweeps up.

mod limits;
mod mounts;
mod stale;
mod usage;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

pub(super) use limits::LimitError;
use mounts::{Controller, Hierarchy};

use super::message::Confine;

/// Which hierarchy holds attempts together. Limits are set wherever their controllers are, but for `V1` and `Off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// v2 if it is there and writable, else v1, else none.
    #[default]
    Auto,
    /// v2 or none.
    V2,
    /// v1 or none; v2 is not touched.
    V1,
    /// None: trees are followed through `/proc`, and nothing can be limited.
    Off,
}

/// The groups of one keeper.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    name: String,
    /// The home is the first, if there is one.
    hierarchies: Vec<Hierarchy>,
    has_home: bool,
}

/// The groups of an attempt that is about to start.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Directory of a v2 home, to be born into.
    pub(super) dir: Option<File>,
    /// `cgroup.procs` of the home, for who was not born into it.
    pub(super) procs: Option<File>,
    /// `cgroup.procs` of the others.
    pub(super) others: Vec<File>,
}

impl Groups {
    /// Uses none.
    pub(super) fn none() -> Groups {
        Groups { name: String::new(), hierarchies: Vec::new(), has_home: false }
    }

    /// Finds the hierarchies this process may write to and makes the base group `minijob/NAME` in the home.
    pub(super) fn find(choice: Choice, name: &str) -> Groups {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mut groups = Groups { name: name.into(), ..Groups::none() };
        if choice != Choice::Off {
            stale::sweep(&mounts, name);
        }
        groups.hierarchies = mounts::hierarchies(&mounts, choice);
        // A read-only or foreign hierarchy refuses here and the next one is tried.
        let holds =
            |one: &Hierarchy| mounts::may_hold(one, choice) && fs::create_dir_all(groups.base(one)).is_ok();
        if let Some(at) = groups.hierarchies.iter().position(holds) {
            groups.hierarchies[..=at].rotate_right(1);
            groups.has_home = true;
        }
        groups
    }

    fn home(&self) -> Option<&Hierarchy> {
        self.hierarchies.first().filter(|_| self.has_home)
    }

    fn base(&self, hierarchy: &Hierarchy) -> PathBuf {
        hierarchy.mount.join("minijob").join(&self.name)
    }

    fn group(&self, hierarchy: &Hierarchy, slot: u64) -> PathBuf {
        self.base(hierarchy).join(format!("t{slot:x}"))
    }

    fn home_group(&self, slot: u64) -> Option<PathBuf> {
        self.home().map(|home| self.group(home, slot))
    }

    /// Says what was found, for people.
    pub(super) fn describe(&self) -> String {
        match self.home() {
            None => "none (trees are followed through /proc)".into(),
            Some(home) => format!("{} v{}", self.base(home).display(), if home.v2 { 2 } else { 1 }),
        }
    }

    /// Moves this process out of the agent's group into the keeper's own.
    pub(super) fn enter(&self) -> io::Result<()> {
        let Some(home) = self.home() else { return Ok(()) };
        join(&self.base(home).join("keeper"))?;
        // Only now: before it lived in there another keeper may have swept it up.
        for controller in [Controller::Memory, Controller::Pids].into_iter().filter(|_| home.v2) {
            // Being counted costs an attempt on v2 nothing. Where it is not possible a limit that is asked for says why.
            let _ = home.enable(&self.base(home), controller);
        }
        Ok(())
    }

    /// Moves this process to the root and removes the keeper's groups as far as they are empty.
    pub(super) fn leave(&self) {
        // Failures leave empty directories behind, which the next keeper uses again, or sweeps up.
        for slot in self.slots() {
            self.remove(slot);
        }
        if let Some(home) = self.home() {
            let _ = fs::write(home.mount.join("cgroup.procs"), "0");
            let _ = fs::remove_dir(self.base(home).join("keeper"));
        }
        for hierarchy in &self.hierarchies {
            let _ = fs::remove_dir(self.base(hierarchy));
            let _ = fs::remove_dir(hierarchy.mount.join("minijob"));
        }
    }

    /// Lists the slots that have a group, in order.
    pub(super) fn slots(&self) -> Vec<u64> {
        let slot = |name: &str| u64::from_str_radix(name.strip_prefix('t')?, 16).ok();
        let entries = |one| fs::read_dir(self.base(one)).into_iter().flatten().flatten();
        let all = self.hierarchies.iter().flat_map(entries);
        let found: std::collections::BTreeSet<u64> =
            all.filter_map(|entry| slot(entry.file_name().to_str()?)).collect();
        found.into_iter().collect()
    }

    /// Makes the groups of a slot with its limits.
    ///
    /// # Errors
    /// See [`LimitError`]; what was made is for [`Groups::remove`].
    pub(super) fn create(&self, slot: u64, confine: &Confine) -> Result<Made, LimitError> {
        let mut made = Made::default();
        if let Some(home) = self.home() {
            let group = self.group(home, slot);
            let mut make = || {
                make_dir(&group)?;
                made.procs = Some(open_procs(&group)?);
                made.dir = if home.v2 { Some(File::open(&group)?) } else { None };
                Ok(())
            };
            make().map_err(LimitError::Group)?;
        }
        made.others = self.set_limits(slot, confine)?;
        Ok(made)
    }

    /// Returns the processes of a slot, or `None` where no group tells.
    pub(super) fn members(&self, slot: u64) -> Option<Vec<u32>> {
        match fs::read_to_string(self.home_group(slot)?.join("cgroup.procs")) {
            // 0 is a process outside of this pid namespace: not ours to signal, but there.
            Ok(text) => Some(text.lines().filter_map(|line| line.parse().ok()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Vec::new()),
            Err(_) => None,
        }
    }

    /// Sends SIGKILL to every process of a slot. Forks may slip past one pass on v1: call again until it is empty.
    pub(super) fn kill(&self, slot: u64) {
        let Some(home) = self.home() else { return };
        let group = self.group(home, slot);
        if home.v2 && fs::write(group.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        let freezer = home.has("freezer");
        if freezer {
            let _ = fs::write(group.join("freezer.state"), "FROZEN");
        }
        for pid in self.members(slot).unwrap_or_default() {
            super::tree::signal(pid, libc::SIGKILL);
        }
        if freezer {
            // Thawed in any case: a frozen process does not die on v1.
            let _ = fs::write(group.join("freezer.state"), "THAWED");
        }
    }

    /// Removes the groups of a slot; `false` when it has to be tried again.
    pub(super) fn remove(&self, slot: u64) -> bool {
        let gone = |hierarchy| match fs::remove_dir(self.group(hierarchy, slot)) {
            Ok(()) => true,
            // A read-only mount holds nothing of ours.
            Err(error) => !matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENOTEMPTY)),
        };
        // All of them, also when one has to wait.
        self.hierarchies.iter().map(gone).fold(true, |all, one| all & one)
    }
}

/// How often a group that is swept up at the same moment is made again: one keeper sweeps once, and few begin at the same time.
const JOINS: u32 = 20;

/// Makes a group and moves this process in. Until it is in there another keeper that begins may take the group for one that was left behind.
fn join(group: &Path) -> io::Result<()> {
    let mut tries = 1;
    loop {
        match fs::create_dir_all(group).and_then(|()| fs::write(group.join("cgroup.procs"), "0")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < JOINS => tries += 1,
            outcome => return outcome,
        }
    }
}

/// Makes a group; also those above it, should they have been swept up.
fn make_dir(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(group),
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn open_procs(group: &Path) -> io::Result<File> {
    File::options().write(true).open(group.join("cgroup.procs"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Several agents begin on one machine: nobody's group is swept up by another while it moves in.
    #[test]
    fn a_keeper_joins_its_group_while_others_sweep() {
        let mount = tempfile::tempdir().unwrap();
        let mounts = format!("cgroup2 {} cgroup2 rw 0 0\n", mount.path().display());
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    stale::sweep(&mounts, "000000000000000f");
                }
            });
            let base = mount.path().join("minijob/0000000000000001");
            let failed = (0..300).find_map(|_| {
                let outcome = join(&base.join("keeper"));
                fs::remove_dir_all(&base).ok();
                outcome.err()
            });
            is_over.store(true, Ordering::Relaxed);
            assert!(failed.is_none(), "{failed:?}");
        });
    }

    #[test]
    fn an_attempts_group_is_made_although_its_keepers_was_swept_up() {
        let mount = tempfile::tempdir().unwrap();
        let group = mount.path().join("minijob/0000000000000001/t1");
        make_dir(&group).unwrap();
        make_dir(&group).unwrap();
        assert!(group.is_dir());
    }
}
