//! What a run leaves when it is killed: namespaces with processes, mounts and directories. Their names say whose they are.

use std::path::Path;

use nix::mount::{MntFlags, umount2};
use tests::process::is_alive;

use super::PREFIX;
use super::space::{SPACES, Space};

/// Removes what belongs to processes that are gone.
pub(super) fn sweep() {
    let mut names = names_in(Path::new(SPACES));
    names.extend(names_in(&std::env::temp_dir()));
    let mut dead: Vec<String> = names.iter().filter_map(|name| run_of(name)).collect();
    dead.sort();
    dead.dedup();
    for run in dead.iter().filter(|run| owner(run).is_some_and(|pid| !is_run(pid))) {
        remove(&std::env::temp_dir().join(run));
    }
}

/// Removes everything of a run, by its directory: processes, namespaces, mounts, files.
pub(super) fn remove(dir: &Path) {
    let run = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for space in names_in(Path::new(SPACES)).iter().filter(|name| run_of(name).as_ref() == Some(&run)) {
        Space::of(space).remove();
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below = |path: &&str| Path::new(path).starts_with(dir);
    for path in mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(below) {
        umount2(path, MntFlags::MNT_DETACH).ok();
    }
    std::fs::remove_dir_all(dir).ok();
}

/// The run that a name is of: the prefix, the owner's process and the number of the run in it.
fn run_of(name: &str) -> Option<String> {
    let rest = name.strip_prefix(PREFIX)?;
    let mut parts = rest.splitn(3, '-');
    let (pid, number) = (parts.next()?, parts.next()?);
    pid.parse::<u32>().ok()?;
    number.parse::<u32>().ok()?;
    Some(format!("{PREFIX}{pid}-{number}"))
}

fn owner(run: &str) -> Option<u32> {
    run.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// Whether a process is there and runs these tests: numbers come again.
fn is_run(pid: u32) -> bool {
    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    is_alive(pid) && comm.starts_with("field")
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_name_says_whose_it_is() {
    let run = format!("{PREFIX}17-3");
    for name in [run.clone(), format!("{run}-m0"), format!("{run}-switch")] {
        assert_eq!(run_of(&name), Some(run.clone()));
    }
    assert_eq!(owner(&run), Some(17));
    assert_eq!(
        [run_of("minijob-field-x-1"), run_of("minijob-story-1-1"), run_of(PREFIX)],
        [None, None, None]
    );
}
