//! What the kernel says of a process, read from texts of `/proc`.

use std::path::{Path, PathBuf};

/// Of `/proc/PID/status` what a command takes over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    /// Capabilities it may ever gain, and those that it hands on, bit by number.
    pub(super) bounding: u64,
    pub(super) ambient: u64,
    pub(super) no_new_privileges: bool,
}

impl Status {
    /// Reads the text; none when a line is missing that every kernel writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        // Real, effective, saved, of the file system.
        let effective = |name| line(name)?.split_whitespace().nth(1)?.parse().ok();
        let set = |name| u64::from_str_radix(line(name)?.trim(), 16).ok();
        Some(Self {
            uid: effective("Uid")?,
            gid: effective("Gid")?,
            groups: line("Groups")?.split_whitespace().filter_map(|id| id.parse().ok()).collect(),
            bounding: set("CapBnd")?,
            ambient: set("CapAmb").unwrap_or(0),
            no_new_privileges: line("NoNewPrivs").is_some_and(|value| value.trim() == "1"),
        })
    }
}

/// Returns the `cgroup.procs` of every control group that `theirs` is in and `ours` is not, or the first that is not mounted here.
/// All three are texts of `/proc`: `PID/cgroup`, `self/cgroup`, `self/mountinfo`.
pub(super) fn groups_to_join(theirs: &str, ours: &str, mountinfo: &str) -> Result<Vec<PathBuf>, String> {
    let ours: Vec<&str> = ours.lines().collect();
    let foreign = theirs.lines().filter(|line| !ours.contains(line));
    foreign.map(|line| folder_of(line, mountinfo).ok_or_else(|| line.to_owned())).collect()
}

fn folder_of(line: &str, mountinfo: &str) -> Option<PathBuf> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    mountinfo.lines().find_map(|mount| {
        let (before, after) = mount.split_once(" - ")?;
        let (root, point) = {
            let mut fields = before.split(' ').skip(3);
            (fields.next()?, fields.next()?)
        };
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        let has = |controller: &str| options.split(',').any(|option| option == controller);
        let is_it = match controllers {
            "" => kind == "cgroup2",
            names => kind == "cgroup" && names.split(',').all(has),
        };
        let below = Path::new(path).strip_prefix(root).ok()?;
        is_it.then(|| Path::new(point).join(below).join("cgroup.procs"))
    })
}

/// Reads `/proc/PID/limits`: the resources with their limits. The kernel writes them in the order of their numbers, in columns. (It lets
/// more agents read this text than ask by prlimit(2), which wants a capability of its own for another user's process.)
pub(super) fn rlimits(text: &str) -> Vec<(u32, libc::rlimit)> {
    const SOFT: std::ops::Range<usize> = 26..46;
    const HARD: std::ops::Range<usize> = 47..67;
    let one = |line: &str, columns: std::ops::Range<usize>| match line.get(columns)?.trim() {
        "unlimited" => Some(libc::RLIM_INFINITY),
        number => number.parse().ok(),
    };
    let lines = (0..).zip(text.lines().skip(1));
    let limit = |line| Some(libc::rlimit { rlim_cur: one(line, SOFT)?, rlim_max: one(line, HARD)? });
    lines.filter_map(|(resource, line)| Some((resource, limit(line)?))).collect()
}

/// Reads `/proc/PID/environ`; what is no `NAME=value` in UTF-8 is left out.
pub(super) fn environment(bytes: &[u8]) -> Vec<(String, String)> {
    let entries = bytes.split(|byte| *byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok());
    let pairs = entries.filter_map(|entry| entry.split_once('='));
    pairs.filter(|(name, _)| !name.is_empty()).map(|(name, value)| (name.into(), value.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_and_privileges_are_read() {
        let text = "Name:\tweb\nUid:\t0\t1000\t0\t0\nGid:\t5\t50\t5\t5\nGroups:\t50 100 \nNoNewPrivs:\t1\n\
            CapBnd:\t00000000000000c1\nCapAmb:\t0000000000000001\n";
        let status = Status::parse(text).expect("it is whole");
        assert_eq!((status.uid, status.gid, status.groups), (1000, 50, vec![50, 100]));
        assert_eq!((status.bounding, status.ambient, status.no_new_privileges), (0xc1, 1, true));
        assert_eq!(Status::parse("Name:\tweb\n"), None);
    }

    const MOUNTS: &str = "30 25 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        32 25 0:28 /docker/x /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,xattr,name=systemd\n\
        33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn only_groups_that_differ_are_joined_where_they_are_mounted() {
        let theirs = "9:memory:/minijob/k/t1\n5:cpu,cpuacct:/minijob/k/t1\n2:name=systemd:/docker/x/a\n0::/minijob/k/t1\n";
        let ours = "9:memory:/agent\n5:cpu,cpuacct:/minijob/k/t1\n2:name=systemd:/docker/x/b\n0::/\n";
        let found = groups_to_join(theirs, ours, MOUNTS).expect("all are mounted");
        let wanted = ["memory/minijob/k/t1", "systemd/a", "unified/minijob/k/t1"];
        assert_eq!(found, wanted.map(|path| PathBuf::from(format!("/sys/fs/cgroup/{path}/cgroup.procs"))));
        assert_eq!(groups_to_join(ours, ours, MOUNTS), Ok(Vec::new()));
    }

    #[test]
    fn a_group_that_cannot_be_reached_is_named() {
        assert_eq!(groups_to_join("7:pids:/t1\n", "", MOUNTS), Err("7:pids:/t1".into()));
        assert!(groups_to_join("2:name=systemd:/elsewhere\n", "", MOUNTS).is_err());
    }

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        let text = std::fs::read_to_string("/proc/self/limits").expect("every process has them");
        let read = rlimits(&text);
        assert_eq!(
            read.iter().map(|(resource, _)| *resource).collect::<Vec<_>>(),
            (0..16).collect::<Vec<_>>()
        );
        for (resource, limit) in read {
            let mut known = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: writes a value of this frame.
            assert_eq!(unsafe { libc::getrlimit(resource as _, &raw mut known) }, 0);
            assert_eq!((limit.rlim_cur, limit.rlim_max), (known.rlim_cur, known.rlim_max), "{resource}");
        }
    }

    #[test]
    fn an_environment_is_read_as_far_as_it_is_one() {
        let read = environment(b"A=1\0B=x=y\0nonsense\0=z\0\xff=1\0EMPTY=\0");
        let wanted = [("A", "1"), ("B", "x=y"), ("EMPTY", "")];
        assert_eq!(read, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
