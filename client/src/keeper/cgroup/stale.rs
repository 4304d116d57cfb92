//! Groups of keepers that were killed and never came back: their data directory is gone, so nobody else will remove them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::mounts::{self, Hierarchy};
use crate::limits::STALE_GROUPS_AT_ONCE;

/// Removes the groups of other keepers in which nothing lives, in every hierarchy that is mounted. A keeper that lives is in a group of
/// its own, so its name is left alone everywhere; so is one whose tasks have outlived it. Whatever is not empty the kernel keeps.
pub(super) fn sweep(mounts: &str, own: &str) {
    // Also hierarchies that this keeper does not use: one that does may live there.
    let hierarchies = mounts::hierarchies(mounts, super::Choice::Auto);
    let roots: Vec<PathBuf> =
        hierarchies.iter().map(|Hierarchy { mount, .. }| mount.join("minijob")).collect();
    let names: BTreeSet<String> = roots.iter().flat_map(|root| children(root)).collect();
    let lives = |name: &String| roots.iter().any(|root| is_populated(&root.join(name)));
    let dead = names.into_iter().filter(|name| name != own && is_name(name) && !lives(name));
    for name in dead.take(STALE_GROUPS_AT_ONCE) {
        for base in roots.iter().map(|root| root.join(&name)) {
            for child in children(&base) {
                let _ = fs::remove_dir(base.join(child));
            }
            let _ = fs::remove_dir(base);
        }
    }
}

/// Whether a keeper may be called so: what people have made there is theirs.
fn is_name(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn children(group: &Path) -> Vec<String> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    groups.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Whether a process is in a group or right below it; one that cannot be read is taken for one that has some.
fn is_populated(base: &Path) -> bool {
    let has = |group: PathBuf| match fs::read_to_string(group.join("cgroup.procs")) {
        Ok(text) => !text.trim().is_empty(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    has(base.to_owned()) || children(base).into_iter().any(|child| has(base.join(child)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD: &str = "00000000000000d1";
    const ALIVE: &str = "00000000000000a1";
    const OWN: &str = "0000000000000001";

    #[test]
    fn groups_of_keepers_that_died_are_removed_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = ["unified", "pids"].map(|name| dir.path().join(name));
        let make = |mount: &Path, path: &str| fs::create_dir_all(mount.join("minijob").join(path)).unwrap();
        for mount in &mounts {
            for path in [DEAD, ALIVE, OWN] {
                make(mount, &format!("{path}/t1"));
            }
            make(mount, "by-hand");
        }
        make(&mounts[0], &format!("{DEAD}/keeper"));
        make(&mounts[0], &format!("{ALIVE}/keeper"));
        fs::write(mounts[0].join("minijob").join(ALIVE).join("keeper/cgroup.procs"), "4711\n").unwrap();
        let text = format!(
            "cgroup2 {} cgroup2 rw 0 0\ncgroup {} cgroup rw,pids 0 0\n",
            mounts[0].display(),
            mounts[1].display()
        );
        sweep(&text, OWN);
        for mount in &mounts {
            let mut left = children(&mount.join("minijob"));
            left.sort();
            assert_eq!(left, [OWN, ALIVE, "by-hand"]);
            assert!(children(&mount.join("minijob").join(ALIVE)).contains(&"t1".to_owned()));
        }
    }
}
