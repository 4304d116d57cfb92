//! Every bound of the command line, each with its reason.

use std::time::Duration;

/// Servers named by `--addr`: more than any cluster has; a list of thousands would only hide a typing error.
pub const SERVERS: usize = 32;
/// Until a connection stands: a machine that is up answers within a round trip, and the next server waits for its turn.
pub const CONNECT: Duration = Duration::from_secs(2);
/// Until an answer comes, beside what the request itself waits: a frozen server must not freeze the person.
pub const ANSWER: Duration = Duration::from_secs(10);
/// How long a command goes round servers that answer "nobody leads": three elections in a row fit.
pub const ELECTION: Duration = Duration::from_secs(6);
/// Between the first two rounds through all servers: a leader that stops hands over within less. Doubles up to [`ROUND`].
pub const ROUND_LEAST: Duration = Duration::from_millis(20);
/// Between two rounds through all servers, once several were in vain.
pub const ROUND: Duration = Duration::from_millis(250);
/// Rounds in which somebody hung up before that is the answer: a server that restarts does it once, a program that is no server always.
pub const BROKEN_ROUNDS: u32 = 3;
/// How long one read waits at the server for a change; below the idle timeouts of what may stand between.
pub const WAIT: Duration = Duration::from_secs(10);
/// A connection that owes an answer is probed after this silence: a server's machine may vanish without a word.
pub const PROBE: Duration = Duration::from_secs(1);
/// How long the answer to that may take before the next server is asked.
pub const PROBED_WITHIN: Duration = Duration::from_secs(2);
/// How long `run` follows a job unless told otherwise: a service that is not healthy after this needs a person.
pub const FOLLOW: Duration = Duration::from_secs(300);
/// A failure that a replacement may still follow is believed when it is still there after this: a scheduling round takes less.
pub const CONFIRM: Duration = Duration::from_millis(500);
/// Between two reads of one follower: a busy cluster changes thousands of times a second, mostly elsewhere.
pub const LEAST_PAUSE: Duration = Duration::from_millis(50);
/// Between two redraws of live lines: an eye follows no faster.
pub const REDRAW: Duration = Duration::from_millis(200);
/// Jobs followed at the same time: each holds one waiting request.
pub const FOLLOWED_AT_ONCE: usize = 64;
/// Live lines on a terminal: what fits on any screen; the rest is in the plain lines.
pub const LIVE_LINES: usize = 16;
/// Lines that say the same of allocations of one group before they become one line with a number.
pub const LINES_OF_A_KIND: usize = 10;
/// Ended allocations that `status JOB` shows without `--all`: the last failures, not the whole history.
pub const ENDED_SHOWN: usize = 5;
/// Ended allocations of one slot that it shows: what is there or missing now, and how the one before went.
pub const ENDED_OF_SLOT: usize = 1;
/// Lines of output shown with a try that is tried again.
pub const TAIL_OF_TRY: usize = 5;
/// Lines of output shown with what has failed for good.
pub const TAIL_OF_FAILURE: usize = 20;
/// Starts of a task that is tried for ever before `run` calls it a crash loop: as many as the default policy allows.
pub const CRASH_LOOP_STARTS: u32 = 4;
/// Bytes of a token or of the note that `dev` leaves: both are far smaller.
pub const SMALL_FILE: u64 = 64 << 10;
/// How long `dev` waits for its own node before it submits its files all the same: an agent registers within a fraction of a second.
pub const DEV_NODE: Duration = Duration::from_secs(10);
/// How long `up` waits until server and agent answer: a first start makes a log and an election, on a slow disk, too.
pub const SERVICES_UP: Duration = Duration::from_secs(30);
/// How long `up` gives the servers of a cluster to meet before it says for whom this one waits: they greet each other every second.
pub const SERVERS_MEET: Duration = Duration::from_secs(5);
/// How long `dev` looks which jobs it stops: its own server answers at once, and who ends it does not want to wait.
pub const DEV_LAST_LOOK: Duration = Duration::from_millis(500);
/// How long the tasks of `dev` may take to end before it says what it waits for.
pub const DEV_STOP_NOTICE: Duration = Duration::from_secs(3);
/// Orders of signals that wait for `supervise`: a person sends one, and signals that come together are one already.
pub const SUPERVISE_ORDERS: usize = 8;
/// Bytes of a line that `supervise` holds until its end comes: longer ones are cut. Container engines cut at 16 KiB too.
pub const SUPERVISE_LINE: usize = 16 << 10;
/// How long `supervise` holds back the news of a task's end until the task's last output is shown: longer only where nobody reads
/// that, and then the news must not wait for it.
pub const SUPERVISE_ORDER: Duration = Duration::from_millis(500);
/// How long `supervise` waits for the reader of its last output before it ends all the same.
pub const SUPERVISE_LAST_WORDS: Duration = Duration::from_secs(5);
/// Bytes of standard input in one message to a command: what a server takes.
pub const EXEC_INPUT_BYTES: usize = 64 << 10;
/// Messages of input that wait for the connection: when they are as many, reading waits as well.
pub const EXEC_QUEUE: usize = 4;
/// Bytes of a snapshot in one message to a server.
pub const SNAPSHOT_PART_BYTES: usize = 256 << 10;
/// Messages of a snapshot that wait for the connection: when they are as many, reading the file waits as well.
pub const SNAPSHOT_QUEUE: usize = 2;
/// How long a restore may take beside an answer: a gigabyte goes through the log of every server.
pub const RESTORE: Duration = Duration::from_secs(1800);
