//! Every key of the job file, per level: which this version acts on, and what it says about the others.

mod shape; // what may stand under a key
mod tables; // the keys themselves

pub(super) use shape::Shape;

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
    Dependency,
    Affinity,
    Spread,
    Variable,
    Volume,
    Mount,
    File,
    EnvFile,
    Lifecycle,
    Rlimit,
    Isolate,
    Update,
    Migrate,
    Disconnect,
}

/// A key, and whether it is acted on.
pub(super) struct Key {
    pub name: &'static str,
    /// What may stand there.
    pub shape: Shape,
    /// What it means, in one sentence.
    pub says: &'static str,
    /// Why it is refused; none if it is acted on.
    pub later: Option<&'static str>,
    /// The value that says the same as leaving it out, so that a file which spells it out is accepted; empty if there is none.
    pub default: &'static str,
}

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
    ("requires", "depends_on"),
    ("needs", "depends_on"),
    ("healthcheck", "checks"),
    ("kind", "type"),
];

impl Level {
    /// All levels.
    pub const ALL: [Self; 22] = [
        Self::Job,
        Self::Group,
        Self::Task,
        Self::Restart,
        Self::Reschedule,
        Self::Resources,
        Self::Logs,
        Self::Port,
        Self::Dependency,
        Self::Affinity,
        Self::Spread,
        Self::Variable,
        Self::Volume,
        Self::Mount,
        Self::File,
        Self::EnvFile,
        Self::Lifecycle,
        Self::Rlimit,
        Self::Isolate,
        Self::Update,
        Self::Migrate,
        Self::Disconnect,
    ];

    /// Those whose keys are missed elsewhere, in the order in which one is looked for. The keys of the others (`to`, `path`,
    /// `soft`) say nothing outside of their place.
    pub const MISSED: [Self; 8] = [
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
            Self::Job => tables::JOB,
            Self::Group => tables::GROUP,
            Self::Task => tables::TASK,
            Self::Restart => tables::RESTART,
            Self::Reschedule => tables::RESCHEDULE,
            Self::Resources => tables::RESOURCES,
            Self::Logs => tables::LOGS,
            Self::Port => tables::PORT,
            Self::Dependency => tables::DEPENDENCY_KEYS,
            Self::Affinity => tables::AFFINITY,
            Self::Spread => tables::SPREAD,
            Self::Variable => tables::VARIABLE,
            Self::Volume => tables::VOLUME,
            Self::Mount => tables::MOUNT,
            Self::File => tables::FILE,
            Self::EnvFile => tables::ENV_FILE,
            Self::Lifecycle => tables::LIFECYCLE,
            Self::Rlimit => tables::RLIMIT_KEYS,
            Self::Isolate => tables::ISOLATE,
            Self::Update => tables::UPDATE,
            Self::Migrate => tables::MIGRATE,
            Self::Disconnect => tables::DISCONNECT,
        }
    }

    /// What it is called, in words, and in the schema by the last of them.
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
            Self::Dependency => "a dependency",
            Self::Affinity => "an affinity",
            Self::Spread => "a spread",
            Self::Variable => "a variable",
            Self::Volume => "a volume",
            Self::Mount => "a mount",
            Self::File => "a file",
            Self::EnvFile => "an env_file",
            Self::Lifecycle => "`lifecycle`",
            Self::Rlimit => "an rlimit",
            Self::Isolate => "`isolate`",
            Self::Update => "`update`",
            Self::Migrate => "`migrate`",
            Self::Disconnect => "`disconnect`",
        }
    }
}

/// Finds a key in some levels.
pub(super) fn find(levels: &[Level], name: &str) -> Option<&'static Key> {
    levels.iter().find_map(|level| level.keys().iter().find(|key| key.name == name))
}

/// Finds the level outside `levels` that a key belongs to.
pub(super) fn elsewhere(levels: &[Level], name: &str) -> Option<Level> {
    let others = Level::MISSED.into_iter().filter(|level| !levels.contains(level));
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
            assert!(find(&Level::MISSED, ours).is_some(), "{ours}");
            assert!(find(&Level::MISSED, foreign).is_none(), "{foreign} is a key of ours");
        }
    }
}
