//! Every bound of the server, each with its reason.

/// Results of named writes: 15 minutes at 50 writes a second; full is an answer, never an early eviction.
pub const REQUESTS_KEPT: usize = 50_000;
/// Events about the cluster as a whole: leaders come and go rarely.
pub const EVENTS_OF_CLUSTER: usize = 1000;
/// Dynamic host ports begin here: above what programs choose for themselves, below the kernel's ephemeral range.
pub const DYNAMIC_PORT_FIRST: u16 = 20_000;
/// The last dynamic host port.
pub const DYNAMIC_PORT_LAST: u16 = 32_000;
/// Bytes of one record of a snapshot: the largest holds the versions of one job, ten of at most 192 KiB, and those in use.
pub const SNAPSHOT_RECORD_BYTES: usize = 64 << 20;
