//! Whether a job that came over the wire keeps the limits of the language: it may not have been read from a job file.

mod dependencies; // what its groups wait for

use std::collections::{BTreeMap, BTreeSet};

use proto::error::{Error, Kind};
use proto::jobfile::rules::{self, MAX_RUN_LEAST};
use proto::limits;
use proto::model::policy::LEAST_DELAY;
use proto::model::{
    CAPABILITIES, Confinement, Group, Job, Lifecycle, Port, RLIMITS, Restart, Task, VolumeSource, stored_size,
};

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
    let origin = job.origin.as_ref().is_none_or(|origin| {
        origin.len() <= limits::PATH_CHARS + limits::NAME_CHARS && !origin.contains(char::is_control)
    });
    faults.unless(origin, || "`origin` is no place of a directory".to_owned());
    faults.count("groups", job.groups.len(), 1, limits::GROUPS_PER_JOB);
    for (name, group) in &job.groups {
        faults.name("a group's name", name);
        check_group(&mut faults, name, group);
    }
    dependencies::check(&mut faults, job);
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
    faults.unless(!group.kind.is_per_node() || group.count == 1, || {
        at(&format!("`count` is {}, but it runs once on every node", group.count))
    });
    faults.count(&at("tasks"), group.tasks.len(), 1, limits::TASKS_PER_GROUP);
    faults.count(&at("ports"), group.ports.len(), 0, limits::PORTS_PER_GROUP);
    check_ports(faults, name, group);
    check_restart(faults, name, &group.restart);
    faults.unless(group.reschedule.delay >= LEAST_DELAY, || at("`reschedule.delay` is below 100ms"));
    faults.unless(rules::is_pace(&group.migrate), || {
        at("`migrate` lets nothing move, or `migrate.healthy_deadline` is not above `migrate.min_healthy_time`")
    });
    faults.unless(rules::is_fence(group), || {
        at("`disconnect.stop_after` is below 3s or above 1h, or it is a `singleton` and may have more than one allocation")
    });
    for (task_name, task) in &group.tasks {
        faults.name("a task's name", task_name);
        check_task(faults, &format!("task `{name}.{task_name}`"), task, group);
    }
    let main = group.tasks.values().any(|task| task.lifecycle == Lifecycle::Main);
    faults.unless(group.tasks.is_empty() || main, || at("none of its tasks is a main task"));
    faults.count(&at("volumes"), group.volumes.len(), 0, limits::VOLUMES_PER_GROUP);
    for (volume_name, volume) in &group.volumes {
        faults.name("a volume's name", volume_name);
        match &volume.source {
            VolumeSource::Host(host) => faults.name("a volume of the agent", host),
            VolumeSource::Path(path) => faults.path(&at("volumes"), "path", rules::absolute(path)),
        }
    }
    let max_run = group.max_run.is_none_or(|length| group.kind.has_an_end() && length >= MAX_RUN_LEAST);
    faults.unless(max_run, || at("`max_run` is for batch jobs, and at least 1s"));
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

fn check_task(faults: &mut Faults, at: &str, task: &Task, group: &Group) {
    let process = &task.process;
    faults.unless(!process.command.is_empty(), || format!("{at}: `command` is empty"));
    faults.text(at, "command", &process.command);
    faults.count(&format!("{at}: args"), process.args.len(), 0, limits::ARGS_PER_TASK);
    process.args.iter().for_each(|arg| faults.text(at, "args", arg));
    if let Some(user) = &process.user {
        faults.unless(rules::is_user(user), || format!("{at}: `user` is no USER or USER:GROUP"));
    }
    process.workdir.iter().for_each(|dir| faults.text(at, "workdir", dir));
    faults.entries(&format!("{at}: `env`"), &task.env, limits::ENV_PER_TASK);
    for (key, value) in &task.env {
        let plain = !key.is_empty() && !key.contains(['=', '\0']);
        faults.unless(plain, || format!("{at}: `{}` cannot name a variable", key.escape_debug()));
        faults.text(at, key, value);
    }
    let signal = (1..=rules::SIGNAL_MAX).contains(&task.stop_signal);
    faults.unless(signal, || format!("{at}: {} is no signal", task.stop_signal));
    let files =
        (1..=1000).contains(&task.logs.max_files) && task.logs.max_file_bytes >= rules::LOG_FILE_LEAST;
    faults.unless(files, || format!("{at}: `logs` keeps 1 to 1000 files of at least 4KiB"));
    if let Some(file) = &task.logs.file {
        faults.path(at, "logs.file", rules::absolute(file));
    }
    check_found(faults, at, task, group);
    check_limits(faults, at, task);
    check_confinement(faults, at, &task.confinement);
}

/// What the task finds on disk.
fn check_found(faults: &mut Faults, at: &str, task: &Task, group: &Group) {
    faults.count(&format!("{at}: files"), task.files.len(), 0, limits::FILES_PER_TASK);
    for file in &task.files {
        faults.path(at, "files.to", rules::inside(&file.to));
        let most = limits::TRAVELLING_FILE_BYTES;
        faults.unless(file.content.len() <= most, || format!("{at}: a file has more than {most} bytes"));
        faults.unless(file.mode <= 0o777, || format!("{at}: `files.mode` {:o} is above 777", file.mode));
    }
    if let Some((one, other)) = rules::overlap(task.files.iter().map(|file| file.to.as_str())) {
        let (one, other) = (one.escape_debug(), other.escape_debug());
        faults.unless(false, || format!("{at}: `{one}` is a file, so that `{other}` cannot be written"));
    }
    faults.count(&format!("{at}: env_files"), task.env_files.len(), 0, limits::ENV_FILES_PER_TASK);
    for file in &task.env_files {
        faults.path(at, "env_files.path", rules::absolute(&file.path));
    }
    faults.count(&format!("{at}: mounts"), task.mounts.len(), 0, limits::MOUNTS_PER_TASK);
    let mut places = BTreeSet::new();
    for mount in &task.mounts {
        faults.path(at, "mounts.to", rules::absolute(&mount.to));
        let again = !places.insert(mount.to.trim_end_matches('/'));
        faults.unless(!again, || format!("{at}: two mounts are at `{}`", mount.to.escape_debug()));
        let known = group.volumes.contains_key(&mount.volume);
        faults.unless(known, || format!("{at}: the group has no volume `{}`", mount.volume.escape_debug()));
    }
}

fn check_limits(faults: &mut Faults, at: &str, task: &Task) {
    let (limits, reserved) = (task.limits, task.resources);
    if let Some(memory) = limits.memory_bytes {
        let least = rules::MEMORY_LIMIT_LEAST.max(reserved.memory_bytes);
        faults
            .unless(memory >= least, || format!("{at}: `memory_limit` is {memory} bytes, at least {least}"));
    }
    if let Some(cpu) = limits.cpu_millis {
        let least = reserved.cpu_millis.max(1);
        faults.unless(cpu >= least, || format!("{at}: `cpu_limit` is {cpu}m, at least {least}m"));
    }
    if let Some(pids) = limits.pids {
        let most = rules::PIDS_MOST;
        faults.unless((1..=most).contains(&pids), || format!("{at}: `pids` is not within 1 to {most}"));
    }
}

fn check_confinement(faults: &mut Faults, at: &str, confinement: &Confinement) {
    for (name, limit) in &confinement.rlimits {
        let known = RLIMITS.iter().any(|(known, _)| known == name);
        faults.unless(known, || format!("{at}: `{}` is no rlimit", shown(name)));
        let above = |limit: Option<u64>| limit.is_some_and(|limit| limit > rules::RLIMIT_MOST);
        let fits = !above(limit.soft) && !above(limit.hard);
        faults.unless(fits, || format!("{at}: rlimit `{}` is out of range", shown(name)));
        let ordered = limit.hard.is_none_or(|hard| limit.soft.is_some_and(|soft| soft <= hard));
        faults.unless(ordered, || format!("{at}: rlimit `{}`: soft is above hard", shown(name)));
    }
    for name in confinement.capabilities.iter().flatten() {
        let known = CAPABILITIES.contains(&name.as_str());
        faults.unless(known, || format!("{at}: `{}` is no capability", shown(name)));
    }
    let names = confinement.capabilities.as_ref().map_or(0, Vec::len);
    faults.count(&format!("{at}: capabilities"), names, 0, CAPABILITIES.len());
    let nice = confinement.nice.is_none_or(|nice| (-20..=19).contains(&nice));
    faults.unless(nice, || format!("{at}: `nice` is not within -20 to 19"));
    let score = confinement.oom_score_adj.is_none_or(|score| (-1000..=1000).contains(&score));
    faults.unless(score, || format!("{at}: `oom_score_adj` is not within -1000 to 1000"));
}

/// A text of the caller, bounded and without what a terminal would obey.
fn shown(text: &str) -> String {
    text.chars().take(limits::NAME_CHARS + 1).flat_map(char::escape_debug).collect()
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
            let shown = shown(name);
            format!("{what} `{shown}` is not 1 to {} of a-z, 0-9 and `-` between them", limits::NAME_CHARS)
        });
    }

    fn path(&mut self, at: &str, what: &str, checked: Result<(), &'static str>) {
        if let Err(why) = checked {
            self.unless(false, || format!("{at}: `{what}` is a path that is {why}"));
        }
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
    use proto::model::{Mount, NodeEnvFile, Rlimit, TaskFile, Volume};

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

    /// Returns what is said of a group that is changed, and of its only task.
    fn said(change: impl FnOnce(&mut Group, &mut Task)) -> Vec<String> {
        details(|job| {
            let group = job.groups.values_mut().next().expect("a group");
            let (name, mut task) = group.tasks.pop_first().expect("a task");
            change(group, &mut task);
            group.tasks.insert(name, task);
        })
    }

    #[test]
    fn what_a_task_is_given_and_may_use_keeps_its_limits() {
        let file = |to: &str, mode| TaskFile { to: to.into(), content: "x".into(), mode };
        let mount = |to: &str| Mount { volume: "data".into(), to: to.into(), read_only: false };
        let rlimit = |name: &str, soft, hard| [(name.to_owned(), Rlimit { soft, hard })].into();
        let path = |path: &str| Volume { source: VolumeSource::Path(path.into()), read_only: false };
        let cases: Vec<(Vec<String>, &str)> = vec![
            (said(|_, task| task.lifecycle = Lifecycle::Poststop), "none of its tasks is a main task"),
            (said(|group, _| group.max_run = Some(MAX_RUN_LEAST)), "`max_run` is for batch jobs"),
            (
                said(|group, _| drop(group.volumes.insert("a".into(), path("srv")))),
                "`path` is a path that is relative",
            ),
            (said(|_, task| task.mounts = vec![mount("/a")]), "the group has no volume `data`"),
            (said(|_, task| task.mounts = vec![mount("/a"), mount("/a/")]), "two mounts are at `/a/`"),
            (said(|_, task| task.mounts = vec![mount("/a/../b")]), "`mounts.to` is a path that is not plain"),
            (
                said(|_, task| task.files = vec![file("../x", 0o644)]),
                "`files.to` is a path that is not plain",
            ),
            (
                said(|_, task| task.files = vec![file("/etc/x", 0o644)]),
                "`files.to` is a path that is absolute",
            ),
            (said(|_, task| task.files = vec![file("x", 0o4755)]), "`files.mode` 4755 is above 777"),
            (said(|_, task| task.files = vec![file("x", 0), file("x/y", 0)]), "`x` is a file, so that `x/y`"),
            (said(|_, task| task.files = vec![file("x", 0); 101]), "files: 101 of 0 to 100 allowed"),
            (
                said(|_, task| task.env_files = vec![NodeEnvFile { path: "x".into(), optional: false }]),
                "`env_files.path` is a path that is relative",
            ),
            (said(|_, task| task.process.user = Some("a:".into())), "`user` is no USER"),
            (said(|_, task| task.logs.file = Some("x.log".into())), "`logs.file` is a path that is relative"),
            (said(|_, task| task.limits.memory_bytes = Some(4096)), "`memory_limit` is 4096 bytes"),
            (said(|_, task| task.limits.cpu_millis = Some(0)), "`cpu_limit` is 0m"),
            (said(|_, task| task.limits.pids = Some(0)), "`pids` is not within"),
            (
                said(|_, task| task.confinement.rlimits = rlimit("nofiles", Some(1), Some(1))),
                "`nofiles` is no rlimit",
            ),
            (said(|_, task| task.confinement.rlimits = rlimit("core", None, Some(1))), "soft is above hard"),
            (said(|_, task| task.confinement.rlimits = rlimit("core", Some(u64::MAX), None)), "out of range"),
            (
                said(|_, task| task.confinement.capabilities = Some(vec!["cap_kill".into()])),
                "`cap_kill` is no capability",
            ),
            (said(|_, task| task.confinement.nice = Some(20)), "`nice` is not within"),
            (said(|_, task| task.confinement.oom_score_adj = Some(1001)), "`oom_score_adj` is not within"),
            (details(|job| job.origin = Some("a\nb".into())), "`origin` is no place"),
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
