//! The tables: every key of the language, level by level, those acted on first.

use super::shape::Shape::{
    self, Bool, Cpu, Duration, Either, Later, List, Map, Mode, Name, Percent, Size, Table, Text, Whole, Words,
};
use super::{Key, Level};
use crate::limits::ALLOCATIONS_PER_GROUP;

const fn acted(name: &'static str, shape: Shape, says: &'static str) -> Key {
    Key { name, shape, says, later: None, default: "" }
}

const fn later(name: &'static str, why: &'static str) -> Key {
    later_unless(name, "", why)
}

const fn later_unless(name: &'static str, default: &'static str, why: &'static str) -> Key {
    Key { name, shape: Later, says: why, later: Some(why), default }
}

/// A mapping that is refused key by key, so that one which spells out its defaults is accepted.
const fn later_within(name: &'static str, level: Level, why: &'static str) -> Key {
    Key { name, shape: Table(level), says: why, later: Some(why), default: "none" }
}

const CONTAINERS: &str = "containers come later; this version runs processes (`command`)";
const ROLLOUT: &str = "a new version replaces the old one step by step, the next when all others are healthy";
const FENCES: &str = "a lost node's work is replaced when its lease has run out";
const SERVICES: &str = "this version runs processes without registering them";
const RENDERED: &str = "a file is put into a task's directory as it is written under `files`";
const MAX: i64 = i64::MAX;

const ATTEMPTS: Shape = Whole(-1, crate::jobfile::restart::ATTEMPTS_MOST);
const TYPES: Shape = Words(&["service", "batch", "system", "sysbatch"]);
const NONE: Shape = Words(&["none"]);
const DURATION_OR_NONE: Shape = Either(&Duration, &NONE);
const DEPENDENCY: Shape = Either(&Name, &Table(Level::Dependency));
const RLIMIT: Shape = Either(&Whole(0, MAX), &Words(&["unlimited"]));

// What a job says for all of its groups, and a group for itself.
const CONSTRAINTS: Key = acted(
    "constraints",
    Either(&List(&Text), &Text),
    "Expressions that must hold on a node: `meta.rack != \"r1\"`",
);
const AFFINITIES: Key = acted(
    "affinities",
    Either(&List(&Either(&Text, &Table(Level::Affinity))), &Text),
    "Expressions that make a node better, or with a weight below 0 worse",
);
const SPREAD_OVER: Key = acted(
    "spread",
    Either(&List(&Either(&Text, &Table(Level::Spread))), &Text),
    "Facts over whose values the allocations are spread: `meta.rack`",
);
const NODE: Key = acted("node", Text, "The only node that takes it, by its name or id");

pub(super) const JOB: &[Key] = &[
    acted("name", Name, "The job's name, unique in its namespace"),
    acted("namespace", Name, "Isolation unit of names; `default` if it is not written"),
    acted(
        "type",
        TYPES,
        "`service` runs for ever: exit 0 is restarted, too. `batch` runs until it exits with 0. `system` and `sysbatch` are the same, \
         once on every node",
    ),
    acted("priority", Whole(1, 100), "Who is placed first; 50 if it is not written"),
    acted("meta", Map(&Text), "Texts for people, and for tasks as `${meta.NAME}` and `MINIJOB_META_<NAME>`"),
    acted("groups", Map(&Table(Level::Group)), "Groups by name: each is placed as a whole, `count` times"),
    acted(
        "variables",
        Map(&Table(Level::Variable)),
        "Values that stand for `${var.NAME}`, given with `--var NAME=VALUE` or `--var-file FILE`",
    ),
    CONSTRAINTS,
    AFFINITIES,
    SPREAD_OVER,
    NODE,
    acted(
        "distinct",
        Text,
        "A fact of which no two allocations of a group have the same value: `node`, `meta.rack`",
    ),
    later_unless("schedule", "none", "this version runs a job once, when it is submitted"),
    later_unless("parameters", "none", "there is no `minijob dispatch` yet"),
    later_within("update", Level::Update, ROLLOUT),
    later("alerts", "this version sends no alerts"),
];

pub(super) const GROUP: &[Key] = &[
    acted(
        "count",
        Whole(0, ALLOCATIONS_PER_GROUP as i64),
        "How many allocations are wanted; 1 if it is not written",
    ),
    acted("type", TYPES, "The `type` of this group alone, where it is not that of its job"),
    acted("tasks", Map(&Table(Level::Task)), "Tasks by name: one program each, all on one node"),
    acted(
        "ports",
        Map(&Table(Level::Port)),
        "Ports of the node by name: `{}` for one that is free, `{static: 8080}` for this one",
    ),
    acted("restart", Table(Level::Restart), "What the node does after an end"),
    acted("reschedule", Table(Level::Reschedule), "What the servers do when the node has given up"),
    acted("migrate", Table(Level::Migrate), "How its allocations leave a node that is drained"),
    acted("volumes", Map(&Table(Level::Volume)), "Places of the node that tasks may mount, by name"),
    acted(
        "max_run",
        DURATION_OR_NONE,
        "Batch jobs: after this long the allocation is stopped and has failed; `none` if it is not written",
    ),
    CONSTRAINTS,
    AFFINITIES,
    SPREAD_OVER,
    NODE,
    acted("distinct", Text, "A fact of which no two allocations have the same value: `node`, `meta.rack`"),
    acted(
        "depends_on",
        Either(&List(&DEPENDENCY), &DEPENDENCY),
        "Groups, of this job or another, that must have started, be healthy or be completed before it is placed",
    ),
    acted(
        "disconnect",
        Table(Level::Disconnect),
        "What becomes of an allocation while its node cannot reach the servers",
    ),
    acted(
        "singleton",
        Bool,
        "Whether its one allocation must never run twice: the fence is `disconnect.stop_after`, or the lease of a node",
    ),
    later("services", SERVICES),
    later_within("update", Level::Update, ROLLOUT),
    later_unless("shutdown_delay", "0s", "the stop signal is sent at once"),
    later_unless("check_restart", "none", SERVICES),
    later_unless("checks", "none", SERVICES),
];

pub(super) const TASK: &[Key] = &[
    acted(
        "command",
        Text,
        "One program: an absolute path, one relative to the file, or a name looked up in PATH; not split at spaces",
    ),
    acted("args", List(&Text), "Its arguments"),
    acted("env", Map(&Text), "Its environment variables"),
    acted(
        "env_files",
        List(&Either(&Text, &Table(Level::EnvFile))),
        "Files of NAME=VALUE lines: read with the job file, or on the node; `env` wins over them",
    ),
    acted("files", List(&Table(Level::File)), "Files that travel with the job, written before each start"),
    acted(
        "user",
        Text,
        "USER or USER:GROUP, names or numbers; the agent's default user if it is not written",
    ),
    acted("workdir", Text, "Where it starts; its own directory if it is not written"),
    acted("resources", Table(Level::Resources), "What it takes from its node, and may use at most"),
    acted("mounts", List(&Table(Level::Mount)), "Volumes of its group that it sees"),
    acted(
        "lifecycle",
        Either(&Words(&["main"]), &Table(Level::Lifecycle)),
        "When it runs beside its siblings; `main` if it is not written",
    ),
    acted(
        "critical",
        Bool,
        "Whether its siblings are stopped when it has ended for good; the allocation then ends as it did",
    ),
    acted("stop_signal", Text, "Sent first when it must stop; SIGTERM if it is not written"),
    acted("stop_timeout", Duration, "After that SIGKILL for all of its processes; 5s if it is not written"),
    acted("logs", Table(Level::Logs), "What is kept of its output, and where else it goes"),
    acted(
        "rlimits",
        Map(&Either(&RLIMIT, &Table(Level::Rlimit))),
        "Limits of the kernel by name (`nofile: 65536`)",
    ),
    acted("nice", Whole(-20, 19), "Its niceness; the agent's own if it is not written"),
    acted(
        "oom_score_adj",
        Whole(-1000, 1000),
        "How gladly the kernel ends it when the node's memory is short",
    ),
    acted(
        "capabilities",
        List(&Text),
        "Exactly these capabilities (`net_bind_service`); those of its user if it is not written",
    ),
    acted("new_privileges", Bool, "Whether set-user-id programs may give it what it has not"),
    acted("isolate", Table(Level::Isolate), "Namespaces of its own"),
    later("image", CONTAINERS),
    later("entrypoint", CONTAINERS),
    later("docker", CONTAINERS),
    later("templates", RENDERED),
    later("artifacts", RENDERED),
    later("secrets", "this version keeps no secrets"),
];

pub(super) const RESTART: &[Key] = &[
    acted("attempts", ATTEMPTS, "Restarts within one interval: 3 are 4 starts; -1 never gives up"),
    acted("interval", Either(&Duration, &Words(&["forever"])), "The window in which restarts are counted"),
    acted("delay", Duration, "Before the first restart, at least 100ms"),
    acted("backoff", Words(&["constant", "exponential"]), "How delays grow"),
    acted("max_delay", Duration, "The most that a delay grows to"),
    acted("jitter", Percent, "By how much a delay varies"),
    acted("on_exhausted", Words(&["move", "stay", "fail"]), "What follows when the attempts are used up"),
    acted(
        "on",
        Words(&["any", "failure", "never"]),
        "Which ends are restarted; `any` if it is not written. Exit 0 of a batch job never is",
    ),
];

pub(super) const RESCHEDULE: &[Key] = &[
    acted("attempts", ATTEMPTS, "Replacements; -1 never gives up"),
    acted("delay", Duration, "Before the first replacement, at least 100ms"),
    acted("backoff", Words(&["constant", "exponential"]), "How delays grow"),
    acted("max_delay", Duration, "The most that a delay grows to"),
];

pub(super) const RESOURCES: &[Key] = &[
    acted("cpu", Cpu, "Reserved on the node: cores or thousandths of one; 50m if it is not written"),
    acted("memory", Size, "Reserved on the node and the limit; 32MiB and no limit if it is not written"),
    acted("memory_limit", Either(&Size, &NONE), "Beyond this much memory the kernel ends it, at least 1MiB"),
    acted("cpu_limit", Either(&Cpu, &NONE), "The most CPU that it gets; `none` if it is not written"),
    acted(
        "pids",
        Either(&Whole(1, crate::jobfile::rules::PIDS_MOST as i64), &NONE),
        "Processes and threads it may have; `none` if it is not written",
    ),
    later("disk", "disk is neither reserved nor limited"),
];

pub(super) const LOGS: &[Key] = &[
    acted("max_files", Whole(1, 1000), "Files kept per stream; 10 if it is not written"),
    acted("max_file_size", Size, "Size of each, at least 4KiB; 10MiB if it is not written"),
    acted(
        "retain",
        Duration,
        "How long they are kept after the end of the allocation; 24h if it is not written",
    ),
    acted("file", Text, "An absolute path on the node to which both streams are appended, too"),
    acted("to", Words(&["journald", "none"]), "Where both streams go, too: the node's journal"),
];

pub(super) const PORT: &[Key] = &[
    acted("static", Whole(1, 65535), "This port of the node, or the group does not fit"),
    later("to", "a process listens on the port of the node itself: `{}` or `{static: N}`"),
    later_unless("protocol", "tcp", "a port number is taken for TCP and UDP together"),
    later_unless("address", "private", "a port is on the address of the node"),
];

pub(super) const VARIABLE: &[Key] = &[
    acted("default", Text, "Its value unless another is given"),
    acted("required", Bool, "Whether it has no default and must be given"),
];

pub(super) const VOLUME: &[Key] = &[
    acted("host", Name, "The volume that the agent declares under this name"),
    acted("path", Text, "An absolute path of the node, where the agent allows it"),
    acted("read_only", Bool, "Whether nobody may write to it"),
    later("docker", CONTAINERS),
    later_unless("shared", "false", "a volume is local to its node"),
];

pub(super) const MOUNT: &[Key] = &[
    acted("volume", Name, "A volume of the group"),
    acted("to", Text, "The absolute path at which the task finds it"),
    acted("read_only", Bool, "Whether this task may not write to it"),
];

pub(super) const FILE: &[Key] = &[
    acted("to", Text, "Where, relative to the task's directory"),
    acted("content", Text, "What is in it"),
    acted("from", Text, "The file whose content it has, relative to the job file; at most 256KiB"),
    acted("base64", Text, "What is in it, where that is no text, in Base64"),
    acted("mode", Mode, "Permission bits in octal; 0644 if it is not written"),
];

pub(super) const ENV_FILE: &[Key] = &[
    acted("path", Text, "The file: relative to the job file, or absolute on the node"),
    acted("on_node", Bool, "Whether the agent reads it before each start"),
    acted("optional", Bool, "Whether it may be missing"),
];

pub(super) const LIFECYCLE: &[Key] = &[
    acted(
        "hook",
        Words(&["main", "prestart", "poststart", "poststop"]),
        "When it starts: before the main tasks, after them, or after their end",
    ),
    acted("sidecar", Bool, "Whether it lives alongside the main tasks and is stopped after them"),
];

pub(super) const RLIMIT_KEYS: &[Key] = &[
    acted("soft", RLIMIT, "What applies; the task may raise it up to `hard`"),
    acted("hard", RLIMIT, "What `soft` may be raised to"),
];

pub(super) const ISOLATE: &[Key] = &[
    acted("pid", Bool, "It sees only its own processes"),
    acted("ipc", Bool, "Its own message queues, semaphores and shared memory"),
    acted("mount", Bool, "Its own mounts, with a /tmp of its own"),
    acted(
        "network",
        Words(&["none", "host"]),
        "`none`: nothing but a loopback of its own; `host` if it is not written",
    ),
];

pub(super) const UPDATE: &[Key] = &[
    later_unless("order", "stop_first", ROLLOUT),
    later_unless("max_parallel", "1", ROLLOUT),
    later_unless("surge", "0", ROLLOUT),
    later_unless("health", "checks", ROLLOUT),
    later_unless("min_healthy_time", "5s", ROLLOUT),
    later_unless("healthy_deadline", "5m", ROLLOUT),
    later_unless("progress_deadline", "10m", ROLLOUT),
    later_unless("auto_revert", "true", ROLLOUT),
    later_unless("canary", "0", ROLLOUT),
    later_unless("auto_promote", "false", ROLLOUT),
];

pub(super) const MIGRATE: &[Key] = &[
    acted(
        "max_parallel",
        Whole(1, ALLOCATIONS_PER_GROUP as i64),
        "How many move at once; 1 if it is not written",
    ),
    acted(
        "min_healthy_time",
        Duration,
        "How long a replacement must run before the one that it replaces ends; 5s if it is not written",
    ),
    acted(
        "healthy_deadline",
        Duration,
        "How long a replacement may take for that before another one is tried; 5m if it is not written",
    ),
];

pub(super) const DISCONNECT: &[Key] = &[
    acted(
        "stop_after",
        DURATION_OR_NONE,
        "The fence, 3s to 1h: so long after its node has reached the servers last it is stopped, and only then replaced",
    ),
    later_unless("replace", "true", FENCES),
    later_unless("on_return", "keep_replacement", FENCES),
];

pub(super) const DEPENDENCY_KEYS: &[Key] = &[
    acted("group", Name, "The group; all groups of `job` if it is not written"),
    acted("job", Name, "Another job of the namespace; this one if it is not written"),
    acted(
        "condition",
        Words(&["started", "healthy", "completed"]),
        "What all of its allocations must be; `started` if it is not written",
    ),
];

pub(super) const AFFINITY: &[Key] = &[
    acted("if", Text, "The expression"),
    acted(
        "weight",
        Whole(-100, 100),
        "How much it counts; 50 if it is not written, below 0 for nodes that are liked less",
    ),
];

pub(super) const SPREAD: &[Key] = &[
    acted("over", Text, "The fact: `meta.rack`"),
    acted("weight", Whole(1, 100), "How much it counts; 50 if it is not written"),
    acted("targets", Map(&Percent), "The share of each value; all the same if it is not written"),
];
