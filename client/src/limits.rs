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

/// How often a keeper without agent and running task looks whether its data directory is still there: one call per look, and
/// whoever removes a directory does not wait for this.
pub const KEEPER_HOME_POLL: Duration = Duration::from_secs(10);

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

/// Bytes of marks that every log file may have beside it, one per millisecond with output: a short log knows the time of every
/// line, ...
pub const LOG_MARK_ROOM: u64 = 64 << 10;

/// ... and a long one that of every third or so: beyond that, marks take one byte for so many of the log, ...
pub const LOG_MARK_SHARE: u64 = 10;

/// ... but after so much time with any output there is one, that a slow log has places to begin at too.
pub const LOG_MARK_QUIET: Duration = Duration::from_secs(10);

/// Dead keepers whose control groups a start sweeps up at most: removing a group of v1 waits for milliseconds, and starting must not.
pub const STALE_GROUPS_AT_ONCE: usize = 32;

/// Bytes of a line that are held back until it is whole, so that lines of two streams do not mix.
pub const LOG_LINE_BYTES: usize = 64 << 10;

/// Longest message to the journal, in bytes: a longer line is sent in parts. journald's own limit for a line is 48 KiB.
pub const JOURNAL_LINE_BYTES_MAX: usize = 16 << 10;

/// Messages to the journal per read of a task's output: some microseconds each, for which all other tasks wait.
pub const JOURNAL_LINES_AT_ONCE: usize = 500;

/// How often it is looked whether a file of the node that output is appended to was moved away.
pub const EXTRA_FILE_LOOK: Duration = Duration::from_secs(1);

/// Bytes of the record of one allocation: a job is at most 192 KiB, and every task adds a tail of 4 KiB at most.
pub const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Messages that wait for one allocation. Ends are rare and orders rarer; whoever sends waits when it is full.
pub const ALLOC_INBOX: usize = 16;

/// Messages that wait for the manager of allocations: one per server message, one per question.
pub const MANAGER_INBOX: usize = 64;

/// How often the disk is tried again when a record or the position could not be written: a full disk is emptied by people.
pub const SAVE_RETRY: Duration = Duration::from_secs(1);

/// How long a start waits for its record to be on disk before it counts as failed: long enough for a full disk that
/// rotated logs soon relieve, short enough that a restart policy soon gives up here and servers try another node.
pub const SAVE_PATIENCE: Duration = Duration::from_secs(30);

/// Records and folders that are written at one time. A thousand allocations that arrive together must not become hundreds of
/// threads; flushes that wait together share one write of the disk's journal.
pub const DISK_AT_ONCE: usize = 32;

/// First and longest pause before a driver that did not answer is asked again.
pub const DRIVER_RETRY_FIRST: Duration = Duration::from_millis(100);
/// See [`DRIVER_RETRY_FIRST`].
pub const DRIVER_RETRY_MAX: Duration = Duration::from_secs(5);

/// How often what runs is compared with what should.
pub const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// How often it is looked at which ended allocations have to go: a disk fills within minutes.
pub const TIDY_EVERY: Duration = Duration::from_secs(10);

/// Room on the disk of the data directory below which the oldest ended allocations lose their logs, in percent of the disk: what
/// the file system itself keeps back. Logs of running tasks are bounded by their rotation.
pub const DISK_FREE_PERCENT: u64 = 5;

/// See [`DISK_FREE_PERCENT`]; of a large disk this much is enough, in bytes.
pub const DISK_FREE_LEAST: u64 = 1 << 30;

/// Ended allocations that lose their logs per look at a disk that is low. Then it is looked at again: a few large ones may do.
pub const DISK_FREED_AT_ONCE: usize = 10;

/// How long poststop tasks may take, beside their own `stop_timeout`, from when all other tasks have ended. What hangs is stopped
/// then: a stop order, a drain and a replacement wait for the end of the allocation. Five minutes upload a dump; who needs
/// more says so with a longer `stop_timeout`.
pub const POSTSTOP_MAX: Duration = Duration::from_secs(300);

/// Released allocations that are kept whatever their age. A job that fails every second must not fill the disk with
/// folders; twenty logs of it tell the story.
pub const KEEP_RELEASED_MAX: usize = 500;

/// Pause in which changes of status are gathered after the first was sent at once.
pub const STATUS_GATHER: Duration = Duration::from_millis(20);

/// Bytes of one batch of statuses: a heartbeat that follows it must not wait long on a slow link.
pub const STATUS_BATCH_BYTES: usize = 128 << 10;

/// When a batch that was not acknowledged is sent again within one session.
pub const STATUS_RESEND: Duration = Duration::from_secs(5);

/// First and longest pause between two attempts to reach a server.
pub const DIAL_RETRY_FIRST: Duration = Duration::from_millis(100);
/// See [`DIAL_RETRY_FIRST`].
pub const DIAL_RETRY_MAX: Duration = Duration::from_secs(5);

/// How long one attempt to connect may take.
pub const DIAL_PATIENCE: Duration = Duration::from_secs(3);

/// How long the answer to a registration may take: it goes through the log, and a new leader lets agents wait for its reign.
pub const REGISTER_PATIENCE: Duration = Duration::from_secs(10);

/// How often a complete set is asked for while the session has none to build on.
pub const COMPLETE_RETRY: Duration = Duration::from_secs(5);

/// Messages of the servers that wait until those before them are followed. Following writes to disk; acknowledgements of
/// heartbeats do not wait for it until this many are queued.
pub const FOLLOW_QUEUE: usize = 16;

/// Messages to the servers, besides heartbeats, that wait for the connection.
pub const UPLINK_QUEUE: usize = 4;

/// Logs that are read by servers at one time: each is a connection.
pub const LOG_STREAMS_MAX: usize = 32;

/// Messages of one log that wait for the connection.
pub const LOG_QUEUE: usize = 4;

/// Connections of probes at one time: a scraper and a load balancer have one each.
pub const PROBES_AT_ONCE: usize = 16;

/// How long one probe may take, from its connection to its end.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// Commands that run beside tasks at one time: each is a connection, a thread and a process that the job did not ask for.
pub const EXEC_AT_ONCE: usize = 16;

/// Messages from one command that wait for the connection. When they are as many the command waits as well, as for any slow reader.
pub const EXEC_QUEUE: usize = 4;

/// Bytes of output of a command in one message: half of what a pipe holds.
pub const EXEC_CHUNK_BYTES: usize = 32 << 10;

/// How long a command whose caller has gone may take to end after SIGHUP.
pub const EXEC_HANG_UP: Duration = Duration::from_secs(2);

/// How long nothing must come from a command that has ended, before what it left behind in the background is not waited for.
pub const EXEC_QUIET: Duration = Duration::from_millis(200);

/// Bytes that are still passed on after a command has ended: the most that a pipe holds. What it left behind may print for ever.
pub const EXEC_LAST_BYTES: usize = 1 << 20;

/// How long the end of a command may wait for a connection that takes nothing.
pub const EXEC_LAST_WORD: Duration = Duration::from_secs(5);

/// Questions of servers that are worked on at one time; each asks the keeper once.
pub const ASKS_AT_ONCE: usize = 64;

/// Answers that are remembered by the id of the request: a request is repeated within seconds, and by people.
pub const ANSWERS_KEPT: usize = 256;

/// Bytes of the largest message of a server: a complete set with thousands of allocations, each a job at most.
pub const SERVER_MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Changes of allocations that wait for a supervisor. It handles each within milliseconds; whoever tells of one waits.
pub const SUPERVISE_CHANGES: usize = 64;

/// Pieces of output of [`LOG_CHUNK_BYTES`] that wait for standard output: while nobody reads that, the rest stays in files.
pub const SUPERVISE_OUTPUT_QUEUE: usize = 4;

/// Lines about tasks that wait for standard error. While nobody reads that, later ones are dropped and counted: a blocked
/// terminal must not keep a task from its restart.
pub const SUPERVISE_LINES_QUEUE: usize = 1024;

/// How long a supervisor that has nothing left to run goes on trying to pass on the last output.
pub const SUPERVISE_DRAIN: Duration = Duration::from_secs(5);

/// Pause after a task has printed something, in which more is gathered: a line at a time would cost more than the task.
pub const SUPERVISE_GATHER: Duration = Duration::from_millis(10);

/// Files and bytes of each that wait for standard output where nobody asked to keep any: the place may be memory. 16 MiB a task.
pub const SUPERVISE_SPOOL_FILES: u32 = 2;
/// See [`SUPERVISE_SPOOL_FILES`].
pub const SUPERVISE_SPOOL_BYTES: u64 = 4 << 20;
/// How long tasks that a drain's deadline tells to end may take for it, before an agent that leaves ends all the same.
pub const LEAVE_GRACE: Duration = Duration::from_secs(60);
/// Between two looks of an agent that leaves at what is left.
pub const LEAVE_LOOKS: Duration = Duration::from_millis(100);
