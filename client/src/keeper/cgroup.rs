//! Control groups, for membership alone: which processes belong to an attempt, and how to kill all of them.
//!
//! v2 is used wherever it is mounted, also beside v1 controllers (hybrid), because a child can be born into its group
//! and `cgroup.kill` exists; else the v1 freezer (which can hold a fork bomb still), `pids` or `name=systemd`. The groups
//! lie at `minijob/KEEPER/` directly below the root, outside any unit of the agent.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Which hierarchy to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// v2 if it is there and writable, else v1, else none.
    #[default]
    Auto,
    /// v2 or none.
    V2,
    /// v1 or none.
    V1,
    /// None: trees are followed through `/proc`.
    Off,
}

/// The groups of one keeper.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    home: Option<Home>,
}

#[derive(Debug, Clone)]
struct Home {
    mount: PathBuf,
    base: PathBuf,
    v2: bool,
    freezer: bool,
}

impl Groups {
    /// Uses none.
    pub(super) fn none() -> Groups {
        Groups { home: None }
    }

    /// Finds a hierarchy this process may write to and makes the base group `minijob/NAME` in it.
    pub(super) fn find(choice: Choice, name: &str) -> Groups {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let home = hierarchies(&mounts, choice).into_iter().find_map(|(mount, v2, freezer)| {
            let base = mount.join("minijob").join(name);
            // A read-only or foreign hierarchy refuses here and the next one is tried.
            fs::create_dir_all(&base).ok()?;
            Some(Home { mount, base, v2, freezer })
        });
        Groups { home }
    }

    /// Says what was found, for people.
    pub(super) fn describe(&self) -> String {
        match &self.home {
            None => "none (trees are followed through /proc)".into(),
            Some(home) => format!("{} v{}", home.base.display(), if home.v2 { 2 } else { 1 }),
        }
    }

    /// Moves this process out of the agent's group into the keeper's own.
    pub(super) fn enter(&self) -> io::Result<()> {
        let Some(home) = &self.home else { return Ok(()) };
        let own = home.base.join("keeper");
        fs::create_dir_all(&own)?;
        fs::write(own.join("cgroup.procs"), "0")
    }

    /// Moves this process to the root and removes the keeper's groups as far as they are empty.
    pub(super) fn leave(&self) {
        let Some(home) = &self.home else { return };
        // Failures leave empty directories behind, which the next keeper of this data directory uses again.
        let _ = fs::write(home.mount.join("cgroup.procs"), "0");
        for group in [home.base.join("keeper"), home.base.clone(), home.mount.join("minijob")] {
            let _ = fs::remove_dir(group);
        }
    }

    /// Lists the slots that have a group.
    pub(super) fn slots(&self) -> Vec<u64> {
        let Some(home) = &self.home else { return Vec::new() };
        let entries = fs::read_dir(&home.base).into_iter().flatten().flatten();
        let slot = |name: &str| u64::from_str_radix(name.strip_prefix('t')?, 16).ok();
        entries.filter_map(|entry| slot(entry.file_name().to_str()?)).collect()
    }

    /// Makes the group of a slot; returns its directory (v2) and its open `cgroup.procs`.
    pub(super) fn create(&self, slot: u64) -> io::Result<Option<(Option<File>, File)>> {
        let Some(home) = &self.home else { return Ok(None) };
        let group = home.group(slot);
        match fs::create_dir(&group) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let procs = File::options().write(true).open(group.join("cgroup.procs"))?;
        Ok(Some((if home.v2 { Some(File::open(&group)?) } else { None }, procs)))
    }

    /// Returns the processes of a slot, or `None` where no group tells.
    pub(super) fn members(&self, slot: u64) -> Option<Vec<u32>> {
        let group = self.home.as_ref()?.group(slot);
        match fs::read_to_string(group.join("cgroup.procs")) {
            // 0 is a process outside of this pid namespace: not ours to signal, but there.
            Ok(text) => Some(text.lines().filter_map(|line| line.parse().ok()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Vec::new()),
            Err(_) => None,
        }
    }

    /// Sends SIGKILL to every process of a slot. Forks may slip past one pass on v1: call again until it is empty.
    pub(super) fn kill(&self, slot: u64) {
        let Some(home) = &self.home else { return };
        let group = home.group(slot);
        if home.v2 && fs::write(group.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        if home.freezer {
            let _ = fs::write(group.join("freezer.state"), "FROZEN");
        }
        for pid in self.members(slot).unwrap_or_default() {
            super::tree::signal(pid, libc::SIGKILL);
        }
        if home.freezer {
            // Thawed in any case: a frozen process does not die on v1.
            let _ = fs::write(group.join("freezer.state"), "THAWED");
        }
    }

    /// Whether the kernel killed a process of the slot for memory. Known only where the memory controller of v2 is on.
    pub(super) fn oom_killed(&self, slot: u64) -> bool {
        let Some(home) = &self.home else { return false };
        let events = fs::read_to_string(home.group(slot).join("memory.events")).unwrap_or_default();
        events.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0")
    }

    /// Removes the group of a slot; `false` when it has to be tried again.
    pub(super) fn remove(&self, slot: u64) -> bool {
        let Some(home) = &self.home else { return true };
        match fs::remove_dir(home.group(slot)) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

impl Home {
    fn group(&self, slot: u64) -> PathBuf {
        self.base.join(format!("t{slot:x}"))
    }
}

/// Lists (mount point, is v2, is the freezer) in order of preference.
fn hierarchies(mounts: &str, choice: Choice) -> Vec<(PathBuf, bool, bool)> {
    let mut v2 = Vec::new();
    let mut v1: [Option<PathBuf>; 3] = [None, None, None];
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (_, Some(mount), Some(kind), Some(options)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let mount = Path::new(mount).to_path_buf();
        match kind {
            "cgroup2" => v2.push((mount, true, false)),
            "cgroup" => {
                for (place, name) in ["freezer", "pids", "name=systemd"].iter().enumerate() {
                    if options.split(',').any(|option| option == *name) {
                        v1[place].get_or_insert(mount.clone());
                    }
                }
            }
            _ => {}
        }
    }
    let v1 = v1.into_iter().enumerate().filter_map(|(place, mount)| Some((mount?, false, place == 0)));
    match choice {
        Choice::Auto => v2.into_iter().chain(v1).collect(),
        Choice::V2 => v2,
        Choice::V1 => v1.collect(),
        Choice::Off => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n\
        cgroup /sys/fs/cgroup/freezer cgroup rw,relatime,freezer 0 0\n\
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";

    #[test]
    fn v2_is_preferred_where_both_are_mounted_and_the_freezer_among_v1() {
        let found: Vec<_> = hierarchies(HYBRID, Choice::Auto).into_iter().map(|(mount, ..)| mount).collect();
        let wanted =
            ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer", "/sys/fs/cgroup/pids"].map(PathBuf::from);
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_choice_is_a_choice() {
        assert!(hierarchies(HYBRID, Choice::V1).iter().all(|(_, v2, _)| !v2));
        assert!(hierarchies(HYBRID, Choice::V2).iter().all(|(_, v2, _)| *v2));
        assert!(hierarchies(HYBRID, Choice::Off).is_empty());
        assert!(hierarchies("proc /proc proc rw 0 0\n", Choice::Auto).is_empty());
    }
}
