//! Every key of the job file, per level: which this version acts on, and what it says about the others.

use super::reader::nearest;

/// Which mapping a key stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Job,
    Group,
    Task,
    Restart,
    Reschedule,
    Resources,
    Logs,
    Port,
}

/// A key, and whether it is acted on.
pub(super) struct Key {
    pub name: &'static str,
    /// Why it is refused; none if it is acted on.
    pub later: Option<&'static str>,
    /// The value that says the same as leaving it out, so that a file which spells it out is accepted; empty if there is none.
    pub default: &'static str,
}

const fn acted(name: &'static str) -> Key {
    Key { name, later: None, default: "" }
}

const fn later(name: &'static str, why: &'static str) -> Key {
    Key { name, later: Some(why), default: "" }
}

const fn later_unless(name: &'static str, default: &'static str, why: &'static str) -> Key {
    Key { name, later: Some(why), default }
}

const PLACEMENT: &str = "work is placed by what is free, not by rules of the job";
const CONTAINERS: &str = "containers come later; this version runs processes (`command`)";
const ROLLOUT: &str = "a new version replaces the old one at once";
const FENCES: &str = "a lost node's work is replaced when its lease has run out";
const SERVICES: &str = "this version runs processes without registering them";
const FILES: &str = "this version puts no files into a task's directory";
const LIMITS: &str = "`cpu` and `memory` are reserved and nothing is limited";

const JOB: &[Key] = &[
    acted("name"),
    acted("namespace"),
    acted("type"),
    acted("priority"),
    acted("meta"),
    acted("groups"),
    later("schedule", "this version runs a job once, when it is submitted"),
    later("parameters", "there is no `minijob dispatch` yet"),
    later("variables", "this version fills in no `${var.NAME}`"),
    later("update", ROLLOUT),
    later("alerts", "this version sends no alerts"),
    later("constraints", PLACEMENT),
    later("affinities", PLACEMENT),
    later("spread", PLACEMENT),
    later("node", PLACEMENT),
];

const GROUP: &[Key] = &[
    acted("count"),
    acted("tasks"),
    acted("ports"),
    acted("restart"),
    acted("reschedule"),
    later("services", SERVICES),
    later("depends_on", "all groups start at once"),
    later("update", ROLLOUT),
    later("migrate", "a drained node's work moves at once"),
    later("disconnect", FENCES),
    later_unless("singleton", "false", FENCES),
    later("volumes", "a task sees the node's own file system"),
    later_unless("shutdown_delay", "0s", "the stop signal is sent at once"),
    later_unless("max_run", "none", "a batch job runs as long as it needs"),
    later("constraints", PLACEMENT),
    later("affinities", PLACEMENT),
    later("spread", PLACEMENT),
    later("distinct", PLACEMENT),
    later("check_restart", SERVICES),
    later("checks", SERVICES),
];

const TASK: &[Key] = &[
    acted("command"),
    acted("args"),
    acted("env"),
    acted("user"),
    acted("workdir"),
    acted("resources"),
    acted("stop_signal"),
    acted("stop_timeout"),
    acted("logs"),
    later("image", CONTAINERS),
    later("entrypoint", CONTAINERS),
    later("docker", CONTAINERS),
    later("env_files", "this version reads no environment files: write the variables under `env`"),
    later("files", FILES),
    later("templates", FILES),
    later("artifacts", FILES),
    later("mounts", "a task sees the node's own file system"),
    later_unless("lifecycle", "main", "all tasks of a group start together"),
    later_unless("critical", "false", "a task that has failed for good fails its allocation"),
    later("secrets", "this version keeps no secrets"),
    later("rlimits", LIMITS),
    later("nice", LIMITS),
    later("oom_score_adj", LIMITS),
    later("capabilities", "a task has the capabilities of its user"),
    later("isolate", "a task is not isolated from its node"),
];

const RESTART: &[Key] = &[
    acted("attempts"),
    acted("interval"),
    acted("delay"),
    acted("backoff"),
    acted("max_delay"),
    acted("jitter"),
    acted("on_exhausted"),
    later_unless("on", "any", "every end of a service is restarted, and every failure of a batch job"),
];

const RESCHEDULE: &[Key] = &[acted("attempts"), acted("delay"), acted("backoff"), acted("max_delay")];

const RESOURCES: &[Key] = &[
    acted("cpu"),
    acted("memory"),
    later("memory_limit", LIMITS),
    later("cpu_limit", LIMITS),
    later("pids", LIMITS),
    later("disk", LIMITS),
];

const LOGS: &[Key] = &[
    acted("max_files"),
    acted("max_file_size"),
    later("file", "logs are kept by the agent only"),
    later("to", "logs are kept by the agent only"),
    later_unless("retain", "24h", "logs are kept as long as their allocation is known"),
];

const PORT: &[Key] = &[
    acted("static"),
    later("to", "a process listens on the port of the node itself: `{}` or `{static: N}`"),
    later_unless("protocol", "tcp", "a port number is taken for TCP and UDP together"),
    later_unless("address", "private", "a port is on the address of the node"),
];

/// What people write who come from elsewhere, and our word for it.
const SYNONYMS: &[(&str, &str)] = &[
    ("environment", "env"),
    ("replicas", "count"),
    ("instances", "count"),
    ("scale", "count"),
    ("working_dir", "workdir"),
    ("work_dir", "workdir"),
    ("cwd", "workdir"),
    ("directory", "workdir"),
    ("kill_timeout", "stop_timeout"),
    ("stop_grace_period", "stop_timeout"),
    ("kill_signal", "stop_signal"),
    ("cmd", "command"),
    ("exec", "command"),
    ("program", "command"),
    ("arguments", "args"),
    ("labels", "meta"),
    ("logging", "logs"),
    ("mem", "memory"),
    ("cpus", "cpu"),
    ("mem_limit", "resources"),
    ("mode", "on_exhausted"),
    ("max_attempts", "attempts"),
    ("retries", "attempts"),
    ("depends", "depends_on"),
    ("healthcheck", "checks"),
    ("kind", "type"),
];

impl Level {
    /// All levels, in the order in which a key is looked for elsewhere.
    pub const ALL: [Self; 8] = [
        Self::Job,
        Self::Group,
        Self::Task,
        Self::Restart,
        Self::Reschedule,
        Self::Resources,
        Self::Logs,
        Self::Port,
    ];

    /// The keys of this level, those acted on first.
    pub const fn keys(self) -> &'static [Key] {
        match self {
            Self::Job => JOB,
            Self::Group => GROUP,
            Self::Task => TASK,
            Self::Restart => RESTART,
            Self::Reschedule => RESCHEDULE,
            Self::Resources => RESOURCES,
            Self::Logs => LOGS,
            Self::Port => PORT,
        }
    }

    /// Whom a key of this level belongs to, in words.
    pub const fn owner(self) -> &'static str {
        match self {
            Self::Job => "the job",
            Self::Group => "a group",
            Self::Task => "a task",
            Self::Restart => "`restart`",
            Self::Reschedule => "`reschedule`",
            Self::Resources => "`resources`",
            Self::Logs => "`logs`",
            Self::Port => "a port",
        }
    }
}

/// Finds a key in some levels.
pub(super) fn find(levels: &[Level], name: &str) -> Option<&'static Key> {
    levels.iter().find_map(|level| level.keys().iter().find(|key| key.name == name))
}

/// Finds the level outside `levels` that a key belongs to.
pub(super) fn elsewhere(levels: &[Level], name: &str) -> Option<Level> {
    let others = Level::ALL.into_iter().filter(|level| !levels.contains(level));
    others.into_iter().find(|level| level.keys().iter().any(|key| key.name == name))
}

/// Finds the key of some levels that somebody meant who wrote another word for it, or mistyped it.
pub(super) fn similar(levels: &[Level], name: &str) -> Option<&'static str> {
    let own = || levels.iter().flat_map(|level| level.keys()).map(|key| key.name);
    let foreign = || SYNONYMS.iter().filter(|(_, ours)| own().any(|key| key == *ours));
    let synonym = |name: &str| foreign().find(|(foreign, _)| *foreign == name).map(|(_, ours)| *ours);
    let mistyped =
        || nearest(name, own()).or_else(|| synonym(nearest(name, foreign().map(|(word, _)| *word))?));
    synonym(name).or_else(mistyped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_its_table_once() {
        for level in Level::ALL {
            let mut names: Vec<&str> = level.keys().iter().map(|key| key.name).collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all, "{level:?}");
        }
    }

    #[test]
    fn every_synonym_stands_for_a_key_that_exists() {
        for (foreign, ours) in SYNONYMS {
            assert!(find(&Level::ALL, ours).is_some(), "{ours}");
            assert!(find(&Level::ALL, foreign).is_none(), "{foreign} is a key of ours");
        }
    }
}
