//! Whether a job that came over the wire keeps the limits of the language: it may not have been read from a job file.

use std::collections::BTreeMap;

use proto::error::{Error, Kind};
use proto::limits;
use proto::model::policy::LEAST_DELAY;
use proto::model::{Group, Job, Port, Restart, Task, stored_size};

/// The highest number of a signal.
const SIGNAL_MAX: i32 = 64;

/// Checks a job.
///
/// # Errors
/// Invalid with every fault as a detail, at most [`limits::ERRORS_PER_FILE`]; too large when it would not fit into one log entry.
pub fn check(job: &Job) -> Result<(), Error> {
    let mut faults = Faults::default();
    faults.name("the namespace", &job.key.namespace);
    faults.name("the job's name", &job.key.name);
    faults.unless((1..=100).contains(&job.priority), || "`priority` is not within 1 to 100".to_owned());
    faults.entries("`meta`", &job.meta, limits::META_ENTRIES);
    faults.count("groups", job.groups.len(), 1, limits::GROUPS_PER_JOB);
    for (name, group) in &job.groups {
        faults.name("a group's name", name);
        check_group(&mut faults, name, group);
    }
    if !faults.0.is_empty() {
        faults.0.truncate(limits::ERRORS_PER_FILE);
        let message = format!("job `{}` is not valid", job.key.name.escape_debug());
        return Err(Error::new(Kind::Invalid, message).details(faults.0));
    }
    let bytes = stored_size(job);
    if bytes > limits::JOB_STORED_BYTES {
        let most = limits::JOB_STORED_BYTES;
        let message =
            format!("job `{}` takes {bytes} bytes as it is stored, at most {most} are allowed", job.key);
        return Err(Error::new(Kind::TooLarge, message).hint("split it, or move long values into files"));
    }
    Ok(())
}

fn check_group(faults: &mut Faults, name: &str, group: &Group) {
    let at = |what: &str| format!("group `{name}`: {what}");
    let most = limits::ALLOCATIONS_PER_GROUP;
    faults.unless(group.count <= most, || {
        at(&format!("`count` is {}, at most {most} are allowed", group.count))
    });
    faults.count(&at("tasks"), group.tasks.len(), 1, limits::TASKS_PER_GROUP);
    faults.count(&at("ports"), group.ports.len(), 0, limits::PORTS_PER_GROUP);
    check_ports(faults, name, group);
    check_restart(faults, name, &group.restart);
    faults.unless(group.reschedule.delay >= LEAST_DELAY, || at("`reschedule.delay` is below 100ms"));
    for (task_name, task) in &group.tasks {
        faults.name("a task's name", task_name);
        check_task(faults, &format!("task `{name}.{task_name}`"), task);
    }
}

fn check_ports(faults: &mut Faults, name: &str, group: &Group) {
    let mut holders: BTreeMap<u16, &str> = BTreeMap::new();
    for (port_name, port) in &group.ports {
        faults.name("a port's name", port_name);
        let Port::Static(number) = port else { continue };
        if let Some(other) = holders.insert(*number, port_name) {
            faults.0.push(format!("group `{name}`: ports `{other}` and `{port_name}` are both {number}"));
        }
    }
}

fn check_restart(faults: &mut Faults, name: &str, restart: &Restart) {
    let at = |what: &str| format!("group `{name}`: `restart.{what}");
    faults.unless(restart.delay >= LEAST_DELAY, || at("delay` is below 100ms"));
    faults.unless(restart.max_delay >= restart.delay, || at("max_delay` is below `delay`"));
    faults.unless(restart.jitter_percent <= 100, || at("jitter` is above 100%"));
}

fn check_task(faults: &mut Faults, at: &str, task: &Task) {
    let process = &task.process;
    faults.unless(!process.command.is_empty(), || format!("{at}: `command` is empty"));
    faults.text(at, "command", &process.command);
    faults.count(&format!("{at}: args"), process.args.len(), 0, limits::ARGS_PER_TASK);
    process.args.iter().for_each(|arg| faults.text(at, "args", arg));
    process.user.iter().for_each(|user| faults.text(at, "user", user));
    process.workdir.iter().for_each(|dir| faults.text(at, "workdir", dir));
    faults.entries(&format!("{at}: `env`"), &task.env, limits::ENV_PER_TASK);
    for (key, value) in &task.env {
        let plain = !key.is_empty() && !key.contains(['=', '\0']);
        faults.unless(plain, || format!("{at}: `{}` cannot name a variable", key.escape_debug()));
        faults.text(at, key, value);
    }
    let signal = (1..=SIGNAL_MAX).contains(&task.stop_signal);
    faults.unless(signal, || format!("{at}: {} is no signal", task.stop_signal));
    let files = (1..=1000).contains(&task.logs.max_files) && task.logs.max_file_bytes >= 4096;
    faults.unless(files, || format!("{at}: `logs` keeps 1 to 1000 files of at least 4KiB"));
}

#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn unless(&mut self, fine: bool, fault: impl FnOnce() -> String) {
        // One more than is shown: a hostile message must not fill the memory with complaints about it.
        if !fine && self.0.len() <= limits::ERRORS_PER_FILE {
            self.0.push(fault());
        }
    }

    fn name(&mut self, what: &str, name: &str) {
        self.unless(is_name(name), || {
            let shown: String =
                name.chars().take(limits::NAME_CHARS + 1).flat_map(char::escape_debug).collect();
            format!("{what} `{shown}` is not 1 to {} of a-z, 0-9 and `-` between them", limits::NAME_CHARS)
        });
    }

    fn count(&mut self, what: &str, count: usize, least: usize, most: usize) {
        self.unless((least..=most).contains(&count), || {
            format!("{what}: {count} of {least} to {most} allowed")
        });
    }

    fn entries(&mut self, what: &str, map: &BTreeMap<String, String>, most: usize) {
        self.unless(map.len() <= most, || {
            format!("{what}: {} entries, at most {most} are allowed", map.len())
        });
    }

    /// The kernel ends a text at the first zero byte: what follows would be lost without a word.
    fn text(&mut self, at: &str, what: &str, text: &str) {
        self.unless(!text.contains('\0'), || format!("{at}: `{}` holds a zero byte", what.escape_debug()));
    }
}

/// Whether a text is a DNS label in lower case, because names become parts of host names in registries.
fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=limits::NAME_CHARS).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::job;

    fn details(change: impl FnOnce(&mut Job)) -> Vec<String> {
        let mut job = job("web", 1);
        change(&mut job);
        check(&job).map_or_else(|error| error.details, |()| Vec::new())
    }

    #[test]
    fn a_plain_job_passes_and_every_limit_is_refused_in_words() {
        assert_eq!(check(&job("web", 3)), Ok(()));
        let group = |job: &mut Job, change: fn(&mut Group)| job.groups.values_mut().for_each(change);
        let cases: [(Vec<String>, &str); 9] = [
            (details(|job| job.key.name = "Web".into()), "the job's name `Web`"),
            (details(|job| job.key.namespace = String::new()), "the namespace ``"),
            (details(|job| job.priority = 0), "`priority`"),
            (details(|job| job.groups.clear()), "groups: 0 of 1 to 100 allowed"),
            (details(|job| group(job, |group| group.count = 10_001)), "`count` is 10001"),
            (details(|job| group(job, |group| group.tasks.clear())), "tasks: 0 of 1 to 100"),
            (
                details(|job| group(job, |group| group.restart.delay = std::time::Duration::ZERO)),
                "below 100ms",
            ),
            (
                details(|job| {
                    group(job, |group| {
                        let two =
                            [("a", 80), ("b", 80)].map(|(name, port)| (name.to_owned(), Port::Static(port)));
                        group.ports = two.into();
                    });
                }),
                "ports `a` and `b` are both 80",
            ),
            (
                details(|job| {
                    group(job, |group| {
                        let bad = Task {
                            env: [("A=B".to_owned(), "x\0y".to_owned())].into(),
                            ..Task::new("/bin/x")
                        };
                        group.tasks.insert("t".into(), bad);
                    });
                }),
                "`A=B` cannot name a variable",
            ),
        ];
        for (details, expected) in cases {
            assert!(details.iter().any(|line| line.contains(expected)), "{expected}: {details:?}");
        }
    }

    #[test]
    fn a_job_that_would_not_fit_into_a_log_entry_is_too_large() {
        let mut large = job("web", 1);
        let task = large.groups.values_mut().next().and_then(|group| group.tasks.values_mut().next());
        task.expect("a task").process.args = vec!["x".repeat(limits::JOB_STORED_BYTES)];
        assert_eq!(check(&large).map_err(|error| error.kind), Err(Kind::TooLarge));
    }

    #[test]
    fn a_hostile_job_cannot_make_the_answer_grow() {
        let mut job = job("web", 1);
        job.meta = (0..100_000).map(|n| (n.to_string(), String::new())).collect();
        let group = job.groups.values().next().cloned().expect("a group");
        job.groups = (0..5000).map(|n| (format!("-{n}"), group.clone())).collect();
        let error = check(&job).expect_err("refused");
        assert_eq!(error.details.len(), limits::ERRORS_PER_FILE);
    }
}
