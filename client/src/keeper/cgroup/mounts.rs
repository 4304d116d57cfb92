//! Where control groups are mounted on this machine, and what each hierarchy can do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Choice;

/// What a group may limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::keeper) enum Controller {
    Memory,
    Cpu,
    Pids,
}

impl Controller {
    /// Its name in both versions.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Cpu => "cpu",
            Controller::Pids => "pids",
        }
    }
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) mount: PathBuf,
    pub(super) v2: bool,
    /// What a v1 hierarchy was mounted with: its controllers, and its name.
    options: Vec<String>,
}

/// The v1 hierarchies that can hold an attempt together, best first: the freezer can hold a fork bomb still.
const HOLDERS: [&str; 3] = ["freezer", "pids", "name=systemd"];

/// The v1 hierarchies that can limit or count.
const LIMITERS: [&str; 4] = ["memory", "cpu", "cpuacct", "pids"];

impl Hierarchy {
    /// Whether it is a v1 hierarchy that was mounted with this option.
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|known| known == option)
    }

    /// Lets groups two levels below the root use a v2 controller.
    ///
    /// # Errors
    /// `NotFound` when this hierarchy has it not; others, such as EBUSY where processes sit in an inner group, come from the
    /// kernel.
    pub(super) fn enable(&self, base: &Path, controller: Controller) -> io::Result<()> {
        let enabled = |group: &Path| lists(&group.join("cgroup.subtree_control"), controller);
        if enabled(base) {
            return Ok(());
        }
        if !lists(&self.mount.join("cgroup.controllers"), controller) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let ours = self.mount.join("minijob");
        for group in [&self.mount, &ours, base] {
            if !enabled(group) {
                fs::write(group.join("cgroup.subtree_control"), format!("+{}", controller.name()))?;
            }
        }
        Ok(())
    }
}

fn lists(file: &Path, controller: Controller) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().any(|word| word == controller.name())
}

/// Lists what is mounted and may be used, each hierarchy once, in the order in which it should hold attempts together; what
/// can only limit comes last.
pub(super) fn hierarchies(mounts: &str, choice: Choice) -> Vec<Hierarchy> {
    let mut found: Vec<(usize, Hierarchy)> = Vec::new();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let &[_, mount, kind, options, ..] = &fields[..] else { continue };
        let v2 = match kind {
            "cgroup2" => true,
            "cgroup" => false,
            _ => continue,
        };
        let options = options.split(',').map(str::to_owned).collect();
        let hierarchy = Hierarchy { mount: mount.into(), v2, options };
        if !v2 && !HOLDERS.iter().chain(&LIMITERS).any(|option| hierarchy.has(option)) {
            continue;
        }
        let holder = HOLDERS.iter().position(|option| hierarchy.has(option));
        let rank = if v2 { 0 } else { holder.map_or(HOLDERS.len() + 1, |place| place + 1) };
        let known = |other: &Hierarchy| other.v2 == v2 && (v2 || other.options == hierarchy.options);
        if !found.iter().any(|(_, other)| known(other)) {
            found.push((rank, hierarchy));
        }
    }
    found.retain(|(_, hierarchy)| match choice {
        Choice::Auto | Choice::V2 => true,
        Choice::V1 => !hierarchy.v2,
        Choice::Off => false,
    });
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, hierarchy)| hierarchy).collect()
}

/// Whether a hierarchy may hold attempts together.
pub(super) fn may_hold(hierarchy: &Hierarchy, choice: Choice) -> bool {
    hierarchy.v2 || (choice != Choice::V2 && HOLDERS.iter().any(|option| hierarchy.has(option)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
        cgroup /sys/fs/cgroup/blkio cgroup rw,blkio 0 0\n\
        cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n\
        cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
        cgroup /sys/fs/cgroup/freezer cgroup rw,relatime,freezer 0 0\n\
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
        cgroup2 /run/again cgroup2 rw 0 0\n";

    fn names(found: Vec<Hierarchy>) -> Vec<String> {
        found.into_iter().map(|one| one.mount.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn v2_is_preferred_where_both_are_mounted_and_the_freezer_among_v1() {
        let wanted = ["unified", "freezer", "pids", "memory", "cpu,cpuacct"];
        assert_eq!(names(hierarchies(HYBRID, Choice::Auto)), wanted);
        assert!(hierarchies(HYBRID, Choice::Auto)[4].has("cpu"), "mounted together with another");
    }

    #[test]
    fn a_choice_says_what_holds_attempts_together_and_limits_come_from_where_they_are() {
        assert_eq!(names(hierarchies(HYBRID, Choice::V1)), ["freezer", "pids", "memory", "cpu,cpuacct"]);
        let mut v2 = hierarchies(HYBRID, Choice::V2);
        assert!(v2.iter().any(|one| one.has("memory")));
        v2.retain(|one| may_hold(one, Choice::V2));
        assert_eq!(names(v2), ["unified"]);
        assert!(hierarchies(HYBRID, Choice::Off).is_empty());
        assert!(hierarchies("proc /proc proc rw 0 0\n", Choice::Auto).is_empty());
    }
}
