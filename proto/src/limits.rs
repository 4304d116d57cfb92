//! Every bound of the language, each with its reason.

/// Bytes of a job file: far above any real one, small enough to check in memory and to travel in one message.
pub const JOB_FILE_BYTES: usize = 1 << 20;
/// Values in a job file, what aliases repeat included: 1 KiB of aliases can otherwise describe more than fits into memory.
pub const YAML_NODES: usize = 100_000;
/// Bytes of text in a job file, what aliases repeat included, for the same reason.
pub const YAML_TEXT_BYTES: usize = 4 << 20;
/// Levels of nesting in a job file: a job needs eight.
pub const YAML_DEPTH: usize = 64;
/// Bytes of a job as it is stored: a Raft entry carries it, and entries stay below 256 KiB so that a slow link passes them in time.
pub const JOB_STORED_BYTES: usize = 192 << 10;
/// Allocations of one group: a typing error (`count: 100000`) must not fill the cluster.
pub const ALLOCATIONS_PER_GROUP: u32 = 10_000;
/// Groups of one job: keeps one scheduling decision small.
pub const GROUPS_PER_JOB: usize = 100;
/// Tasks of one group: each is a process on one machine.
pub const TASKS_PER_GROUP: usize = 100;
/// Named ports of one group: each costs a place in the port table of a node, for every allocation.
pub const PORTS_PER_GROUP: usize = 100;
/// Jobs in one file: all are checked before any is submitted.
pub const JOBS_PER_FILE: usize = 100;
/// Characters of a name: a DNS label, because names become parts of host names in registries.
pub const NAME_CHARS: usize = 63;
/// Environment variables of a task: the kernel's argument space is finite and every start copies them.
pub const ENV_PER_TASK: usize = 1000;
/// Arguments of a task, for the same reason.
pub const ARGS_PER_TASK: usize = 1000;
/// Entries of `meta`.
pub const META_ENTRIES: usize = 100;
/// Errors reported for one file: a person mends the first ones first.
pub const ERRORS_PER_FILE: usize = 100;
/// Bytes of output that a failed end carries through Raft.
pub const TAIL_BYTES: usize = 4096;
/// Bytes of one gRPC message of the control API: a job file and its envelope fit several times.
pub const MESSAGE_BYTES: usize = 8 << 20;
/// Bytes of one message about a failed start: it names a program, and is kept in events.
pub const MESSAGE_CHARS: usize = 1024;
/// Bytes of a file that a job file refers to: configuration, not data, which belongs into a volume or an artifact.
pub const TRAVELLING_FILE_BYTES: usize = 256 << 10;
/// Files of a task, each written before every start.
pub const FILES_PER_TASK: usize = 100;
/// Environment files of a task, each read before every start or with the job file.
pub const ENV_FILES_PER_TASK: usize = 100;
/// Volumes of a group.
pub const VOLUMES_PER_GROUP: usize = 100;
/// Mounts of a task, each a call of the kernel before every start.
pub const MOUNTS_PER_TASK: usize = 100;
/// Characters of a path in a job: what the kernel takes at most.
pub const PATH_CHARS: usize = 4095;
/// Variables of a job (`variables`).
pub const VARIABLES_PER_JOB: usize = 100;
/// Constraints, affinities or spreads of one group: each is asked of every kind of node.
pub const PLACEMENT_ENTRIES: usize = 32;
/// Dependencies of one group: as many as a job has groups; each is looked at whenever the group lacks something.
pub const DEPENDENCIES_PER_GROUP: usize = 100;
/// Bytes of a node's name, as long as host names get.
pub const NODE_NAME_CHARS: usize = 255;
/// Bytes of one expression: a line that a person wrote. Reading takes longer than linear, and every node class is asked.
pub const EXPRESSION_BYTES: usize = 1024;
