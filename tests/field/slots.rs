//! Slots with a fence, and the proof that none ran twice: a book and a lock per slot in files outside of the cluster.
//!
//! A task that is killed writes no end. So each holds a lock of the kernel's for as long as its process lives, and who starts while
//! somebody holds it writes that down. The kernel gives the lock back when the process has ended, however it ended.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The files of one job's slots.
pub(crate) struct Slots {
    dir: PathBuf,
    name: String,
}

/// A line of the book.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    what: String,
    slot: String,
    node: String,
    pid: u32,
    token: u64,
    /// Seconds since the boot of this machine, suspended ones too.
    at: f64,
}

impl Slots {
    /// Makes the files for a job of that many slots.
    pub(crate) fn make(dir: &Path, name: &str, count: u32) -> Self {
        let slots = Self { dir: dir.to_owned(), name: name.to_owned() };
        let mut files: Vec<_> = (0..count).map(|slot| slots.file(&slot.to_string())).collect();
        files.push(slots.file("book"));
        for file in files {
            std::fs::write(&file, "").expect("writable");
            // Tasks of root run as nobody.
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).expect("ours");
        }
        slots
    }

    fn file(&self, what: &str) -> PathBuf {
        self.dir.join(format!("{}.{what}", self.name))
    }

    /// What a task of it does. One that is obstinate ignores that it is to end, and writes no end.
    pub(crate) fn script(&self, is_obstinate: bool) -> String {
        let trap = if is_obstinate { "''" } else { "'say stop; exit 0'" };
        let (book, lock) = (self.file("book"), self.file("$MINIJOB_ALLOC_INDEX"));
        let (book, lock) = (book.display(), lock.display());
        format!(
            "say() {{ read up rest < /proc/uptime; \
             echo \"$1 $MINIJOB_ALLOC_INDEX $MINIJOB_NODE_NAME $$ 0$MINIJOB_FENCE_TOKEN $up\" >> {book}; }}\n\
             exec 9>>\"{lock}\"\n\
             flock --nonblock 9 || {{ say twice; flock 9; }}\n\
             trap {trap} TERM\n\
             say start\n\
             sleep 200000 9>&- &\n\
             wait\n"
        )
    }

    /// What was written.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(self.file("book")).expect("readable");
        let read = |line: &str| line_of(line).unwrap_or_else(|| panic!("no line of a task: {line:?}"));
        text.lines().map(read).collect()
    }

    /// Nobody started while another ran, and each that started had a higher number than those before; returns how many started.
    ///
    /// # Errors
    /// What was found, with the whole book.
    pub(crate) fn never_ran_twice(&self) -> Result<usize, String> {
        let lines = self.lines();
        let fault = fault_of(&lines);
        fault.map_or_else(
            || Ok(lines.iter().filter(|line| line.what == "start").count()),
            |fault| Err(format!("{}: {fault}\nin {lines:#?}", self.name)),
        )
    }

    /// The nodes on which it has run.
    pub(crate) fn nodes(&self) -> BTreeSet<String> {
        self.lines().into_iter().map(|line| line.node).collect()
    }
}

fn line_of(line: &str) -> Option<Line> {
    let words: Vec<&str> = line.split(' ').collect();
    let [what, slot, node, pid, token, at] = words[..] else { return None };
    let (what, slot, node) = (what.to_owned(), slot.to_owned(), node.to_owned());
    Some(Line { what, slot, node, pid: pid.parse().ok()?, token: token.parse().ok()?, at: at.parse().ok()? })
}

fn fault_of(lines: &[Line]) -> Option<String> {
    let slots: BTreeSet<&String> = lines.iter().map(|line| &line.slot).collect();
    slots.into_iter().find_map(|slot| {
        let mut of_slot = lines.iter().filter(|line| line.slot == *slot);
        let mut last: Option<&Line> = None;
        of_slot.find_map(|line| {
            let before = last.replace(line);
            match (line.what.as_str(), before) {
                ("twice", before) => {
                    Some(format!("{line:?} started while another ran; before it {before:?}"))
                }
                ("stop", Some(before)) if before.pid != line.pid => {
                    Some(format!("{line:?} ended after {before:?} had started"))
                }
                ("start", Some(before)) if before.token > line.token => {
                    Some(format!("{line:?} is older than {before:?}, and started later"))
                }
                _ => None,
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use ::tests::process::signal;
    use ::tests::wait::{SOON, until};
    use nix::sys::signal::Signal;

    use super::*;

    /// A task as a node would start it.
    fn task(slots: &Slots, token: u32, is_obstinate: bool) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &slots.script(is_obstinate)]).env("MINIJOB_ALLOC_INDEX", "0");
        command.env("MINIJOB_NODE_NAME", format!("n{token}")).env("MINIJOB_FENCE_TOKEN", token.to_string());
        command.spawn().expect("there is a shell")
    }

    fn written(slots: &Slots, wanted: usize) {
        until(SOON, "they have written", || {
            let lines = slots.lines();
            if lines.len() == wanted { Ok(()) } else { Err(format!("{lines:?}")) }
        });
    }

    /// Ends a task, and the sleeper that it waits for.
    fn end(mut task: Child, how: Signal) {
        let children = format!("/proc/{0}/task/{0}/children", task.id());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        signal(task.id(), how);
        task.wait().expect("it is ours");
        children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .for_each(|pid| signal(pid, Signal::SIGKILL));
    }

    #[test]
    fn one_after_another_is_no_fault_however_they_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let slots = Slots::make(dir.path(), "once", 1);
        for (token, is_obstinate, how, lines) in
            [(1, false, Signal::SIGTERM, 1), (2, true, Signal::SIGKILL, 3), (3, false, Signal::SIGKILL, 4)]
        {
            let task = task(&slots, token, is_obstinate);
            written(&slots, lines);
            end(task, how);
        }
        assert_eq!(slots.never_ran_twice(), Ok(3));
        assert_eq!(slots.nodes().len(), 3);
    }

    #[test]
    fn two_at_a_time_are_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let slots = Slots::make(dir.path(), "once", 1);
        let first = task(&slots, 1, true);
        written(&slots, 1);
        let second = task(&slots, 2, true);
        written(&slots, 2);
        let found = slots.never_ran_twice().expect_err("two ran");
        assert!(found.contains("started while another ran"), "{found}");
        end(first, Signal::SIGKILL);
        end(second, Signal::SIGKILL);
    }

    #[test]
    fn an_end_that_comes_late_and_a_number_that_falls_are_found() {
        let line = |what: &str, pid, token| Line {
            what: what.into(),
            slot: "0".into(),
            node: "n0".into(),
            pid,
            token,
            at: 0.0,
        };
        assert_eq!(fault_of(&[line("start", 1, 1), line("start", 2, 1), line("stop", 2, 1)]), None);
        assert!(fault_of(&[line("start", 1, 1), line("start", 2, 2), line("stop", 1, 1)]).is_some());
        assert!(fault_of(&[line("start", 1, 2), line("start", 2, 1)]).is_some());
    }
}
