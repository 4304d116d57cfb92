//! Every bound of this crate, each with its reason.

use std::time::Duration;

/// Longest frame between agent and keeper, in bytes. The kernel takes at most 2 MiB of arguments and environment
/// (`ARG_MAX`), and a start carries little else.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// Connections the keeper serves at once. One agent has one; a restart overlaps with the next, a command may look.
pub const KEEPER_CONNECTIONS_MAX: usize = 16;

/// Bytes the keeper queues for one connection before it stops reading requests from it. Two full list pages.
pub const KEEPER_OUT_BYTES_MAX: usize = 1 << 20;

/// Attempts the keeper holds, running and ended but not collected. Twice the 10,000 allocations of a full group.
pub const KEEPER_ATTEMPTS_MAX: usize = 20_000;

/// Entries of one page of the keeper's list: about 64 KiB.
pub const KEEPER_LIST_PAGE: usize = 500;

/// Bytes read from one stream of a task per wake-up of the keeper, so that a task at 100 MB/s only gets its turn.
pub const KEEPER_READ_BUDGET: usize = 256 << 10;

/// Size of the keeper's one copy buffer: the default capacity of a pipe.
pub const KEEPER_COPY_BYTES: usize = 64 << 10;

/// Longest message between guard and keeper: a record with two paths of `PATH_MAX` and a tail.
pub const GUARD_MESSAGE_BYTES_MAX: usize = 32 << 10;

/// Longest path of a log directory or working directory, `PATH_MAX` of Linux.
pub const PATH_BYTES_MAX: usize = 4096;

/// Output that travels with the end of an attempt; foundations.md allows 4 KiB through consensus.
pub const TAIL_BYTES_MAX: usize = 4 << 10;

/// Size at which the journal of the keeper is rewritten when most of it is history.
pub const JOURNAL_COMPACT_BYTES: u64 = 1 << 20;

/// Size beyond which the keeper's own log starts anew when a keeper is started.
pub const KEEPER_LOG_BYTES_MAX: u64 = 1 << 20;

/// Time without task, uncollected end and connection after which the keeper leaves. An agent's restart or upgrade
/// takes seconds; minutes leave room for a person.
pub const KEEPER_IDLE_EXIT: Duration = Duration::from_secs(300);

/// How long a SIGTERM to the keeper stays a wish to leave once its tasks have ended: a machine that shuts down ends
/// them within seconds, a signal sent by mistake must not close the keeper for ever.
pub const KEEPER_LEAVE_WISH: Duration = Duration::from_secs(10);

/// How often leftovers of an attempt are looked at when nothing else says that they changed.
pub const LEFTOVER_POLL: Duration = Duration::from_millis(100);

/// How often SIGKILL is repeated on a tree that will not go empty (a fork may slip past one pass).
pub const KILL_REPEAT: Duration = Duration::from_millis(20);

/// Longest pause of the guard between two keepers that die at once.
pub const KEEPER_RESTART_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long an agent waits for a keeper that holds the lock to answer, and for a new one to be ready.
pub const KEEPER_READY_WAIT: Duration = Duration::from_secs(5);

/// How long a request to the keeper may wait for a connection before the caller hears that nobody answered.
pub const KEEPER_PATIENCE: Duration = Duration::from_secs(5);

/// Requests of the agent that wait for the keeper's socket. Each is one small struct; callers wait when it is full.
pub const KEEPER_REQUESTS_QUEUED: usize = 256;

/// Log files kept per stream of a task unless the job says otherwise.
pub const LOG_FILES_DEFAULT: u32 = 10;

/// Size of one log file in bytes unless the job says otherwise.
pub const LOG_FILE_BYTES_DEFAULT: u64 = 10 << 20;

/// Bytes one read of a log returns at most.
pub const LOG_CHUNK_BYTES: usize = 64 << 10;

/// Bytes searched backwards for the wanted number of lines, so that one endless line costs no memory or time.
pub const LOG_TAIL_SCAN_BYTES: u64 = 16 << 20;

/// Pause between two looks at a log that is followed.
pub const LOG_FOLLOW_POLL: Duration = Duration::from_millis(100);
/// Bytes of the record of one allocation: a job is at most 192 KiB, and every task adds a tail of 4 KiB at most.
pub const RECORD_BYTES_MAX: u64 = 1 << 20;
