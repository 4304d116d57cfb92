//! Every bound of the server, each with its reason.

use std::time::Duration;

/// Results of named writes: 15 minutes at 50 writes a second; full is an answer, never an early eviction.
pub const REQUESTS_KEPT: usize = 50_000;
/// Events about the cluster as a whole: leaders come and go rarely.
pub const EVENTS_OF_CLUSTER: usize = 1000;
/// Batches of facts kept for followers that read slower than facts arise; who falls further behind reads the state's log.
pub const FACT_BATCHES_KEPT: usize = 1024;
/// Jobs of one scheduling decision: more would make the first of them wait for the last, fewer would leave the log's syncs unused.
pub const JOBS_PER_DECISION: usize = 256;
/// Bytes of a plan in one command, with room for the command around it.
pub const PLAN_BYTES_MAX: usize = COMMAND_BYTES_MAX - 1024;
/// Bytes of reports in one command, with room for the command around them.
pub const STATUS_BYTES_MAX: usize = COMMAND_BYTES_MAX - 1024;
/// Reports of one node that wait for the log, the latest of each allocation: more allocations than a machine runs.
pub const STATUSES_PENDING: usize = 20_000;
/// Batches of reports of one node that wait for their acknowledgement; an agent sends one per 20 ms at most.
pub const BATCHES_PENDING: usize = 1000;
/// Touched allocations of one node that are named: looking at more one by one costs as much as looking at all.
pub const TOUCHED_MAX: usize = 256;
/// Messages that wait for one agent; one that reads slower is disconnected and asks for the complete set when it returns.
pub const SESSION_MESSAGES_QUEUED: usize = 128;
/// Bytes of assignments in one message to an agent: far below what it accepts, large enough that most sets are one message.
pub const SESSION_MESSAGE_BYTES: usize = 1 << 20;
/// How long an agent may take to register after it has connected.
pub const REGISTER_WITHIN: Duration = Duration::from_secs(5);
/// How long open requests may take to end when a server stops.
pub const STOP_WITHIN: Duration = Duration::from_secs(2);
/// How long an agent may take to dial when somebody reads a task's output.
pub const DIAL_WITHIN: Duration = Duration::from_secs(10);
/// Readers that wait for an agent to dial: each is a request of a person.
pub const DIALS_PENDING: usize = 1000;
/// Questions that wait for an agent's answer: each is a request of a person, answered within a moment.
pub const ASKS_PENDING: usize = 1000;
/// How long an agent may take to pass on a signal: it asks its keeper, which may be writing to a slow disk.
pub const SIGNAL_WITHIN: Duration = Duration::from_secs(5);
/// How long a document waits for what a node measures: a person does not notice it, and the rest is true without.
pub const USAGE_WITHIN: Duration = Duration::from_secs(1);
/// Messages between an agent's connection and who runs a command there, each way: enough to keep both busy; a slow side slows the
/// other down.
pub const EXEC_QUEUED: usize = 8;
/// Bytes of a command with its arguments: what the kernel takes in one argument; files travel otherwise.
pub const EXEC_COMMAND_BYTES: usize = 128 << 10;
/// Bytes of standard input in one message.
pub const EXEC_INPUT_BYTES: usize = 64 << 10;
/// How long the first message of a call that runs a command may take.
pub const EXEC_START_WITHIN: Duration = Duration::from_secs(5);
/// Chunks of output between an agent's connection and its reader: enough to keep both busy; a slow reader slows the agent down.
pub const LOG_CHUNKS_QUEUED: usize = 16;
/// Dynamic host ports begin here: above what programs choose for themselves, below the kernel's ephemeral range.
pub const DYNAMIC_PORT_FIRST: u16 = 20_000;
/// The last dynamic host port.
pub const DYNAMIC_PORT_LAST: u16 = 32_000;
/// Bytes of one record of a snapshot: the largest holds the versions of one job, ten of at most 192 KiB, and those in use.
pub const SNAPSHOT_RECORD_BYTES: usize = 64 << 20;

/// The largest command that can be proposed. A follower must receive an entry within one heartbeat interval even on
/// a 20 Mbit/s link, or it is resent for ever: 256 KiB take 105 ms there.
pub const COMMAND_BYTES_MAX: usize = 256 << 10;

/// The most bytes of commands in one log entry; the same bound as one command, for the same reason.
pub const ENTRY_BYTES_MAX: usize = COMMAND_BYTES_MAX;

/// The most commands in one log entry. More would not make the disk faster and would delay the first of them.
pub const ENTRY_COMMANDS_MAX: usize = 512;

/// Entries proposed and not yet applied. Two keep the disk busy while the next batch gathers; three measured slower.
pub const ENTRIES_IN_FLIGHT: usize = 2;

/// Commands waiting for the batcher. Four full entries: beyond that a caller is told to come back.
pub const PROPOSALS_QUEUED: usize = 4 * ENTRY_COMMANDS_MAX;

/// The largest record the log store accepts: an entry with room for its framing and for a membership of many servers.
pub const RECORD_BYTES_MAX: usize = 4 << 20;

/// Jobs waiting for the thread that owns the log store. The consensus core waits for each append, so a handful is
/// usual; the bound only has to be larger than a burst of reads by replication.
pub const STORE_JOBS_QUEUED: usize = 256;

/// The size at which a segment of the segmented log is closed. Small enough that purging frees space promptly and a
/// torn tail is found by reading one file, large enough that creating files costs nothing.
pub const SEGMENT_BYTES: u64 = 8 << 20;

/// The largest value stored under one sled key. Seventeen of them (a consolidated leaf) stay below the 2 MiB above
/// which sled would write a blob file, which it never syncs.
pub const SLED_PART_BYTES: usize = 100 << 10;

/// Log entries per sled tree. Purging drops whole trees; smaller trees cost more meta data, larger ones free late.
pub const SLED_TREE_ENTRIES: u64 = 4096;

/// Decoded log entries kept in memory, in bytes of their commands: what was appended a moment ago is applied and
/// replicated from here without a read.
pub const RECENT_ENTRIES_BYTES: usize = 4 << 20;

/// The most bytes read from the log for one message to a follower, but one entry at least: it must arrive within a heartbeat, as an
/// entry must.
pub const REPLICATION_BYTES_MAX: usize = ENTRY_BYTES_MAX;

/// The most entries in one message to a follower: lone writes are small, and a follower syncs once per message.
pub const REPLICATION_ENTRIES_MAX: u64 = 512;

/// How long a message with entries may be on its way: 256 KiB need as long on a link of 200 kbit/s.
pub const PEER_APPEND_WITHIN: Duration = Duration::from_secs(10);

/// The largest message between servers: one record with room for what is around it.
pub const RAFT_MESSAGE_BYTES: usize = RECORD_BYTES_MAX + (64 << 10);

/// How long it may take to connect to another server: a round trip around the world, and again for a lost packet.
pub const PEER_CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// Between two signs of life on a connection to another server. One that is dead is given up after this and the next, and made anew.
pub const PEER_PING: Duration = Duration::from_secs(1);

/// How long another server may take to answer a sign of life.
pub const PEER_PONG: Duration = Duration::from_secs(2);

/// The first pause before a server that could not be reached is tried again; it doubles.
pub const PEER_PAUSE_MIN: Duration = Duration::from_millis(50);

/// The longest such pause: shorter than the silence after which who comes back would stand for election.
pub const PEER_PAUSE_MAX: Duration = Duration::from_millis(400);

/// Bytes of a snapshot in one message: half a second on a link of 4 Mbit/s.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 << 10;

/// Chunks read ahead of the connection: one on its way, one ready.
pub const SNAPSHOT_CHUNKS_QUEUED: usize = 2;

/// How long a follower may take for one chunk, or to answer an announcement: a slow disk does, a dead one does not.
pub const SNAPSHOT_CHUNK_WITHIN: Duration = Duration::from_secs(10);

/// How long a follower may take to check and load a snapshot that it has received whole: some hundred MiB on a slow disk.
pub const SNAPSHOT_INSTALL_WITHIN: Duration = Duration::from_secs(300);

/// How often a snapshot is tried without one more byte arriving; openraft begins anew after that.
pub const SNAPSHOT_TRIES: u32 = 5;

/// The pause between two such tries.
pub const SNAPSHOT_PAUSE: Duration = Duration::from_millis(200);

/// How long a leader that stops waits for its successor: two tries to be elected, beside a lease that has to run out.
pub const HAND_OVER_WITHIN: Duration = Duration::from_secs(1);

/// How often a server that is asked to take over stands for election.
pub const TAKE_OVER_TRIES: u32 = 4;

/// Readers that wait for the leader to be confirmed: one round answers all.
pub const READERS_QUEUED: usize = 4096;

/// How long a reader waits until a majority has confirmed the leader: longer, and no leader is to be expected soon.
pub const READ_INDEX_WITHIN: Duration = Duration::from_secs(2);

/// The pause before a leader that was not confirmed asks again.
pub const READ_INDEX_PAUSE: Duration = Duration::from_millis(50);

/// How often a majority confirms the leader for fences, at most: one round serves all agents, and takes so much from each fence.
pub const FENCE_ROUND: Duration = Duration::from_millis(200);

/// How long a change of the membership may take: two entries that a majority of the new servers has to have, too.
pub const MEMBERSHIP_WITHIN: Duration = Duration::from_secs(10);

/// Servers that are greeted: those that were named and those that came by themselves; a cluster has five.
pub const PEERS_KNOWN: usize = 32;

/// Between two rounds of greetings: a person who starts the third server sees a cluster within a second or two.
pub const GREET_EVERY: Duration = Duration::from_millis(300);

/// How long another server may take to say who it is.
pub const GREET_WITHIN: Duration = Duration::from_secs(1);

/// How long what another server said counts: three rounds, one of which may have waited for somebody who is silent.
pub const GREETING_LASTS: Duration = Duration::from_secs(4);

/// How long a leader may take to add a server: two changes of the membership.
pub const JOIN_WITHIN: Duration = Duration::from_secs(25);

/// Entries that a server which learns may be behind when it is let vote: what a busy cluster writes within a second.
pub const LEARNED_WITHIN: u64 = 1000;

/// How long the brake may hold everything: hardly at all, to a night and a day.
pub const BRAKE_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));

/// Nodes named one by one in a sentence: what a person reads; the rest is a number.
pub const NODES_NAMED: usize = 10;

/// How long answers of a server that led may still be on their way when another leads: a round trip around the world.
pub const LAST_ANSWERS_WITHIN: Duration = Duration::from_millis(200);

/// How long a request waits for a server to lead: an election after a death takes about a second.
pub const LEADER_WITHIN: Duration = Duration::from_secs(2);

/// The oldest wire version between servers that is understood, and the oldest that understands ours.
pub const PEER_WIRE_OLDEST: u32 = 1;

/// Bytes per checksummed block of a snapshot file.
pub const SNAPSHOT_BLOCK_BYTES: usize = 256 << 10;

/// Snapshots kept on disk: the newest, and the one before it in case the newest turns out to be damaged.
pub const SNAPSHOTS_KEPT: usize = 2;

/// Log growth that is always allowed between two snapshots; with a larger state its size takes the place of this
/// number, so that snapshots never write more than the log itself.
pub const SNAPSHOT_LOG_BYTES_MIN: u64 = 64 << 20;

/// The shortest time between two snapshots taken because the log grew.
pub const SNAPSHOT_INTERVAL_MIN: Duration = Duration::from_secs(30);

/// How long a proposal may wait before its caller is told that nobody answered.
pub const PROPOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a message about a certificate: four CAs and a sealed one take 8 KiB.
pub const ENROL_MESSAGE_BYTES: usize = 64 << 10;
/// How long a server waits before it looks again at a CA or a certificate that it could not make.
pub const ENROL_AGAIN: Duration = Duration::from_secs(1);
/// How often at most a server looks whether the state says something new about members: one that is thrown out is gone within that.
pub const ENROL_LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a server is gone before the others remove it, unless people say otherwise: longer than a weekend, after which it shall come back as the one that it
/// was. It costs little to keep it: only where three voters are left without it, all of them there, is it removed at all.
pub const DEAD_SERVER_TIMEOUT: Duration = Duration::from_secs(72 * 3600);
/// The shortest and the longest that people may say: a restart of a machine is no death, and a year is never.
pub const DEAD_SERVER_TIMEOUTS: (Duration, Duration) =
    (Duration::from_secs(60), Duration::from_secs(365 * 24 * 3600));
/// How often a leader that can more than the state says looks whether all servers can: nobody waits for it.
pub const LEVEL_EVERY: Duration = Duration::from_secs(5);
/// How often a leader looks whether the CA is to be sealed with a new key: it opens what is sealed, which costs microseconds.
pub const SEAL_EVERY: Duration = Duration::from_secs(1);
/// How often a leader looks which servers answer: a small part of the shortest time after which one is removed.
pub const CLEAN_EVERY: Duration = Duration::from_secs(10);
/// Voters that remain at least when a server is removed by itself: of three one more may be lost.
pub const VOTERS_LEAST: usize = 3;
/// How often a server whose address has changed says so, until the leader has taken it.
pub const MOVE_EVERY: Duration = Duration::from_secs(2);
/// Members that are shut out at once: who must shut out more has lost the key, and changes it. All are in one record of a snapshot.
pub const DENIED_MAX: usize = 1_000;
/// For how much longer than a certificate holds a member that was thrown out is remembered: a server that had not heard of it may have renewed one
/// more, and its clock may be ahead.
pub const DENIED_MARGIN: Duration = Duration::from_secs(24 * 3600);

/// Allocations in the document of one job: each takes up to 1 KiB, and the document must pass in one message of 8 MiB.
pub const ALLOCS_SHOWN: usize = 5_000;
/// Bytes of output of failed tries in the document of one job: the first 128 failures say what is wrong with the rest.
pub const TAILS_SHOWN_BYTES: usize = 512 << 10;
/// How long a read may wait for news: longer, and proxies between would cut it off without an answer.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long the answer to a submission waits for its placement: a person bears it, and the scheduler needs far less unless thousands are
/// submitted at once, who would only ask again.
pub const PLACEMENT_WAIT: Duration = Duration::from_secs(2);
/// Bytes of what a person says about a version: a sentence; every version in history keeps it.
pub const MESSAGE_OF_VERSION_BYTES: usize = 4 << 10;
/// Facts in one list: each carries at most 4 KiB of output, and a list must pass in one message of 8 MiB.
pub const EVENTS_PER_LIST: usize = 1_000;
/// Tasks whose output one follower reads at once: each is a connection of an agent.
pub const LOG_SOURCES: usize = 256;
/// Tasks whose kept output is merged in the order of time at once: an agent has 32 such connections for all readers.
pub const LOG_MERGED: usize = 24;
/// Bytes of lines that go to a reader as one piece.
pub const LOG_PIECE_BYTES: usize = 64 << 10;
/// Pieces of output on their way to one reader: a slow one holds its sources back, not our memory.
pub const LOG_PIECES_QUEUED: usize = 32;
/// Bytes of a line that are held back until it is whole.
pub const LOG_LINE_BYTES: usize = 64 << 10;
/// Bytes of a body over HTTP: a job file of 1 MiB, escaped as JSON.
pub const HTTP_BODY_BYTES: usize = 2 << 20;
/// Until a connection must have shown a token, and a head of a request must have been read.
pub const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// The same while half of the places for strangers are taken: a round trip around the world, and again for a lost packet.
pub const FIRST_REQUEST_IN_A_CROWD: Duration = Duration::from_millis(500);
/// How long a connection without a token may take to end after that.
pub const STRANGER_ENDS_WITHIN: Duration = Duration::from_secs(1);
/// Connections that have not shown a token: with the two bounds before, what strangers can hold is bounded.
pub const STRANGERS_MAX: usize = 1_000;
/// Connections that the kernel keeps until there is a place: as many as there are places.
pub const CONNECTIONS_QUEUED: i32 = 1_000;
/// Bytes buffered of one HTTP/1 connection; the head of a request must fit.
pub const HTTP1_BUFFER_BYTES: usize = 64 << 10;
/// Bytes of the head of a request over HTTP/2.
pub const HTTP2_HEAD_BYTES: u32 = 16 << 10;
/// Requests beside each other on one HTTP/2 connection: a CLI needs one or two, an agent a few.
pub const STREAMS_PER_CONNECTION: u32 = 256;
/// Allocations that a node has at once: when it registers it names all of them in one command of at most 256 KiB, and one with
/// three tasks takes 190 bytes there.
pub const ALLOCS_PER_NODE: usize = 1000;
/// Bytes of free disk below which clients may not write: room for the servers' own commands and for one more snapshot of a large
/// state, until somebody makes some.
pub const FREE_DISK_BYTES: u64 = 512 << 20;
/// Bytes of free disk that a snapshot wants beside twice the size of the last one: the first one has no last.
pub const SNAPSHOT_ROOM_BYTES: u64 = 64 << 20;
/// Keys that the history names for one version: a person sees what kind of change it was.
pub const CHANGES_IN_HISTORY: usize = 20;
/// Keys that a plan names: each carries both values, and a document must pass in one message of 8 MiB.
pub const CHANGES_IN_PLAN: usize = 200;
/// Characters of one value in a plan: a script of a hundred lines says nothing there.
pub const VALUE_CHARS: usize = 200;
/// Events in the document of one node: the latest, the list of events has the rest.
pub const EVENTS_OF_NODE: usize = 20;
/// Sentences about the past in one story: what explains the present is young.
pub const STORY_PAST: usize = 20;
/// Allocations that the story of a job speaks of, those that are not well first.
pub const STORY_ALLOCS: usize = 10;
/// Between two heartbeats of an agent: more often, and a thousand nodes send more than ten thousand a second; more seldom, and a
/// change of this very setting takes minutes to reach them.
pub const HEARTBEAT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// How long a lease lasts: shorter, and a pause of a busy machine is the loss of a node; longer, and nobody would call it failover.
pub const NODE_TIMEOUT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// Heartbeats that fit into a lease: two may be lost on their way, or come late, before a node is.
pub const HEARTBEATS_PER_TIMEOUT: u32 = 3;
/// Events kept per job and per node: as many as one list shows.
pub const EVENTS_PER_SUBJECT_MAX: u64 = EVENTS_PER_LIST as u64;
/// Ended allocations kept per job: as many as the document of a job shows.
pub const ENDED_ALLOCS_MAX: u64 = ALLOCS_SHOWN as u64;
/// How long ended allocations are kept: long enough for a person to look at what failed, and no archive.
pub const ENDED_ALLOCS_FOR: (Duration, Duration) =
    (Duration::from_secs(60), Duration::from_secs(30 * 24 * 3600));
/// Versions kept per job: a hundred of at most 192 KiB stay far below what one record of a snapshot holds.
pub const VERSIONS_MAX: u64 = 100;
/// How long a drain may take that names no deadline: a service has moved long before, a batch job has had a chance to end.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(3600);
/// The longest deadline of a drain: what may take longer has none.
pub const DRAIN_DEADLINE_MOST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Bytes of what a person says about a drain: it is kept with the node and in an event.
pub const DRAIN_MESSAGE_BYTES: usize = 1024;

/// Bytes of a snapshot that is restored: its parts wait in the memory of every server and in its log. A million allocations take less.
pub const RESTORE_BYTES_MAX: u64 = 1 << 30;

/// Bytes of it in one command, with room for the command around it.
pub const RESTORE_PART_BYTES: usize = COMMAND_BYTES_MAX - (16 << 10);

/// How long whoever restores may take for the next bytes: a person's slow line does.
pub const RESTORE_PART_WITHIN: Duration = Duration::from_secs(60);

/// Parts of a snapshot that wait for who saves it: one on its way, one ready.
pub const SAVE_PARTS_QUEUED: usize = 2;

/// Lives of a cluster that its agents may come from: more restores than anybody makes while an agent is away.
pub const ANCESTORS_KEPT: usize = 64;

/// How long a node has to come back after a restore: its agent may have to be told where the new servers are.
pub const RESTORED_NODES_WITHIN: Duration = Duration::from_secs(60);

/// How long the answer to a restore waits for the reign that begins after it.
pub const RESTORED_REIGN_WITHIN: Duration = Duration::from_secs(5);

/// The pause after a scheduled snapshot that failed: a full disk or a share that is away is mended by a person.
pub const SCHEDULED_SNAPSHOT_RETRY: Duration = Duration::from_secs(60);
