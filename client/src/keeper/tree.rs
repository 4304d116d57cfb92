//! Finds the processes of an attempt through `/proc`, where no control group holds them.
//!
//! The guard is the subreaper, so whatever a task leaves behind becomes a child of the guard: an orphan belongs to the
//! attempt whose session, process group or mark it carries, and with it all of its descendants. A process that starts
//! its own session, scrubs its environment and loses its parents cannot be attributed; control groups have no such gap.

use std::collections::BTreeMap;
use std::fs;

/// What is known of the attempt whose tree is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root<'a> {
    /// Main process, also id of its session and group.
    pub(super) main: u32,
    /// Whether it has not been reaped.
    pub(super) alive: bool,
    /// Value of the mark in its environment.
    pub(super) mark: &'a str,
}

/// Returns the living processes of `root`, given the guard and a test for other main processes.
pub(super) fn members(root: Root<'_>, guard: u32, is_other: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut table = Table::default();
    let mut found = Vec::new();
    if root.alive {
        found.push(root.main);
    }
    for orphan in table.children(guard) {
        if orphan != root.main && !is_other(orphan) && belongs(orphan, root) {
            found.push(orphan);
        }
    }
    // Grows while it is walked.
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        for child in table.children(pid) {
            if !found.contains(&child) {
                found.push(child);
            }
        }
        next += 1;
    }
    found.retain(|&pid| stat(pid).is_some_and(|stat| !stat.dead));
    found
}

/// Returns processes anywhere on the machine that carry `mark`; for what outlived its guard.
pub(super) fn marked(mark: &str) -> Vec<u32> {
    all().filter(|&pid| carries(pid, mark) && stat(pid).is_some_and(|stat| !stat.dead)).collect()
}

/// Sends `signal` to one process; that it has gone is fine.
pub(super) fn signal(pid: u32, signal: i32) {
    // 0 and 1 would mean "my group" and init, and can only come from a broken reading.
    if pid > 1 {
        // SAFETY: a system call on numbers.
        unsafe { libc::kill(pid as i32, signal) };
    }
}

/// Sends `signal` to a process group; `false` when it has no member.
pub(super) fn signal_group(group: u32, signal: i32) -> bool {
    // SAFETY: a system call on numbers.
    group > 1 && unsafe { libc::kill(-(group as i32), signal) } == 0
}

fn belongs(pid: u32, root: Root<'_>) -> bool {
    stat(pid).is_some_and(|stat| stat.session == root.main || stat.group == root.main)
        || carries(pid, root.mark)
}

fn carries(pid: u32, mark: &str) -> bool {
    let mut environment = Vec::new();
    // It reads as empty for the instant in which a process executes: look again before taking that for an answer. Threads
    // of the kernel have none at all and no image either.
    for _ in 0..10 {
        environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if !environment.is_empty() || fs::read_link(format!("/proc/{pid}/exe")).is_err() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_micros(100));
    }
    let name = super::spawn::MARK.as_bytes();
    environment.split(|&byte| byte == 0).any(|entry| {
        entry
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(b"="))
            .is_some_and(|value| value == mark.as_bytes())
    })
}

struct Stat {
    dead: bool,
    parent: u32,
    group: u32,
    session: u32,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, also ") ".
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let dead = matches!(fields.next()?, "Z" | "X" | "x");
    let mut number = || fields.next()?.parse().ok();
    Some(Stat { dead, parent: number()?, group: number()?, session: number()? })
}

fn all() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Parents and children: asked of the kernel, or by one scan where it does not tell (`CONFIG_PROC_CHILDREN`).
#[derive(Default)]
struct Table {
    scanned: Option<BTreeMap<u32, Vec<u32>>>,
}

impl Table {
    fn children(&mut self, pid: u32) -> Vec<u32> {
        if self.scanned.is_none()
            && let Some(children) = listed_children(pid)
        {
            return children;
        }
        let table = self.scanned.get_or_insert_with(|| {
            let mut table: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            for pid in all() {
                if let Some(stat) = stat(pid) {
                    table.entry(stat.parent).or_default().push(pid);
                }
            }
            table
        });
        table.get(&pid).cloned().unwrap_or_default()
    }
}

/// Reads the children of every thread of `pid`; `None` when the kernel keeps no such list.
fn listed_children(pid: u32) -> Option<Vec<u32>> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Some(Vec::new()) };
    let mut children = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(text) => children.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok())),
            // The thread has ended, or the file does not exist at all: the main thread of ourselves tells which.
            Err(_) if fs::metadata("/proc/thread-self/children").is_ok() => {}
            Err(_) => return None,
        }
    }
    Some(children)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_tree_is_found_through_its_parents() {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "sleep 60 & sleep 60 & wait"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let root = Root { main: shell.id(), alive: true, mark: "no.such" };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let found = loop {
            let found = members(root, std::process::id(), |_| false);
            if found.len() == 3 {
                break found;
            }
            assert!(std::time::Instant::now() < deadline, "the shell and two sleeps, found {found:?}");
            std::thread::yield_now();
        };
        for pid in found {
            signal(pid, libc::SIGKILL);
        }
        shell.wait().unwrap();
    }

    #[test]
    fn a_marked_process_is_found_anywhere() {
        let mark = format!("test.{}", std::process::id());
        let mut sleep =
            Command::new("/bin/sleep").arg("60").env(super::super::spawn::MARK, &mark).spawn().unwrap();
        assert_eq!(marked(&mark), [sleep.id()], "the mark {mark}");
        sleep.kill().unwrap();
        sleep.wait().unwrap();
    }
}
