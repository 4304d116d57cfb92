//! What the agent knows of one allocation, and its bytes: a magic word, the version of the format, a checksum, protobuf.

use std::collections::BTreeMap;

use prost::Message;
use proto::ids::{AllocId, Incarnation};
use proto::model::{AllocState, AllocStatus};
use proto::time::{BootTime, Timestamp};
use proto::wire::{BadMessage, status, v1};

use crate::core::course::Course;
use crate::core::restart::Tries;
use crate::core::spec::{self, Spec};
use crate::core::task_machine::{Outcome, Phase, TaskState};

/// The first bytes of every record.
const MAGIC: &[u8; 4] = b"MJAL";

/// The version that is written; older ones are read. Every version begins with the magic word, the version and the checksum
/// of all that follows, so that an older agent can tell a newer record from a damaged one.
pub(super) const VERSION: u32 = 1;

/// Everything the agent knows of one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which.
    pub id: AllocId,
    /// The life of the cluster's state that assigned it.
    pub incarnation: Incarnation,
    /// What it runs.
    pub spec: Spec,
    /// The boot of the machine in which times since boot were taken.
    pub boot_id: String,
    /// What was reported last.
    pub state: AllocState,
    /// What is known of it as a whole.
    pub course: Course,
    /// When servers said that they know its end.
    pub released_at: Option<Timestamp>,
    /// Its tasks by name: those of the spec.
    pub tasks: BTreeMap<String, TaskState>,
}

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// They are of something else, or cut off.
    #[error("it does not begin like a record")]
    NoRecord,
    /// A newer agent wrote them.
    #[error("its format is version {0}, this agent reads up to {VERSION}")]
    TooNew(u32),
    /// They are not what was written.
    #[error("its checksum is wrong")]
    Checksum,
    /// They are no protobuf.
    #[error("it cannot be decoded")]
    Decode {
        /// Why.
        source: prost::DecodeError,
    },
    /// A field makes no sense.
    #[error("it makes no sense")]
    Meaning {
        /// Which.
        source: BadMessage,
    },
}

impl Record {
    /// Makes the record of an allocation that has just been assigned.
    #[must_use]
    pub fn new(id: AllocId, incarnation: Incarnation, spec: Spec, boot_id: String) -> Self {
        let tasks = spec.group.tasks.keys().map(|name| (name.clone(), TaskState::default())).collect();
        let state = AllocState::Pending;
        Self { id, incarnation, spec, boot_id, state, course: Course::default(), released_at: None, tasks }
    }

    /// Returns whether the times in it are of an earlier boot, and brings it over to this one.
    pub fn adopt_boot(&mut self, boot_id: &str, now: BootTime) -> bool {
        if self.boot_id == boot_id {
            return false;
        }
        boot_id.clone_into(&mut self.boot_id);
        self.course = self.course.after_reboot(now);
        for task in self.tasks.values_mut() {
            task.tries = task.tries.after_reboot();
            task.pid = 0;
            task.phase = match task.phase {
                Phase::Backoff(_) => Phase::Backoff(now),
                // It may have run for days, since a start is not saved: it counts as an attempt that ended with the boot.
                Phase::Starting => Phase::Running,
                phase => phase,
            };
        }
        true
    }

    /// Returns its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = to_stored(self).encode_to_vec();
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_be_bytes());
        bytes.extend(crc32fast::hash(&body).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    /// Reads it back.
    ///
    /// # Errors
    /// For every text that is not a whole record of this version or an older one; never panics.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(RecordError::NoRecord)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(RecordError::NoRecord)?;
        let version = u32::from_be_bytes(*version);
        let (crc, body) = rest.split_first_chunk::<4>().ok_or(RecordError::NoRecord)?;
        // Before the version: rubbish must not pass for something newer, which keeps an agent from starting.
        if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
            return Err(RecordError::Checksum);
        }
        if version > VERSION {
            return Err(RecordError::TooNew(version));
        }
        let stored = Stored::decode(body).map_err(|source| RecordError::Decode { source })?;
        from_stored(stored).map_err(|source| RecordError::Meaning { source })
    }
}

/// The body. Fields are only ever added; numbers are never used again.
#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    incarnation: u64,
    #[prost(message, optional, tag = "3")]
    spec: Option<v1::AllocSpec>,
    #[prost(string, tag = "4")]
    boot_id: String,
    /// Its state, and of its tasks what servers see too.
    #[prost(message, optional, tag = "5")]
    seen: Option<v1::AllocStatus>,
    #[prost(bool, tag = "6")]
    stop_ordered: bool,
    #[prost(uint64, optional, tag = "7")]
    released_at_ms: Option<u64>,
    #[prost(btree_map = "string, message", tag = "8")]
    tasks: BTreeMap<String, StoredTask>,
    #[prost(bool, tag = "9")]
    timed_out: bool,
    #[prost(uint64, optional, tag = "10")]
    main_started_boot_ms: Option<u64>,
    #[prost(uint64, optional, tag = "11")]
    poststop_since_boot_ms: Option<u64>,
}

/// Of one task what servers do not see.
#[derive(Clone, PartialEq, prost::Message)]
struct StoredTask {
    /// See [`phase_number`].
    #[prost(uint32, tag = "1")]
    phase: u32,
    #[prost(uint64, tag = "2")]
    backoff_until_boot_ms: u64,
    #[prost(uint64, optional, tag = "3")]
    window_start_boot_ms: Option<u64>,
    #[prost(uint32, tag = "4")]
    used: u32,
    #[prost(uint32, tag = "5")]
    series: u32,
}

const fn phase_number(phase: Phase) -> u32 {
    match phase {
        Phase::Waiting => 1,
        Phase::Starting => 2,
        Phase::Running => 3,
        Phase::Backoff(_) => 4,
        Phase::Stopping => 5,
        Phase::Ended(Outcome::Complete) => 6,
        Phase::Ended(Outcome::Failed) => 7,
        Phase::Ended(Outcome::Stopped) => 8,
    }
}

const fn phase_of(number: u32, until: BootTime) -> Option<Phase> {
    Some(match number {
        1 => Phase::Waiting,
        2 => Phase::Starting,
        3 => Phase::Running,
        4 => Phase::Backoff(until),
        5 => Phase::Stopping,
        6 => Phase::Ended(Outcome::Complete),
        7 => Phase::Ended(Outcome::Failed),
        8 => Phase::Ended(Outcome::Stopped),
        _ => return None,
    })
}

fn to_stored(record: &Record) -> Stored {
    let seen = AllocStatus {
        id: record.id,
        seq: 0,
        state: record.state,
        tasks: record.tasks.iter().map(|(name, task)| seen_of(name, task)).collect(),
    };
    let task = |task: &TaskState| StoredTask {
        phase: phase_number(task.phase),
        backoff_until_boot_ms: match task.phase {
            Phase::Backoff(until) => until.0,
            _ => 0,
        },
        window_start_boot_ms: task.tries.window_start.map(|at| at.0),
        used: task.tries.used,
        series: task.tries.series,
    };
    Stored {
        id: record.id.0,
        incarnation: record.incarnation.0,
        spec: Some(spec::to_wire(&record.spec)),
        boot_id: record.boot_id.clone(),
        seen: Some(status::to_wire(&seen)),
        stop_ordered: record.course.stop_ordered,
        timed_out: record.course.timed_out,
        main_started_boot_ms: record.course.main_started.map(|at| at.0),
        poststop_since_boot_ms: record.course.poststop_since.map(|at| at.0),
        released_at_ms: record.released_at.map(|at| at.0),
        tasks: record.tasks.iter().map(|(name, state)| (name.clone(), task(state))).collect(),
    }
}

/// What both halves share is kept once, in the words of the wire. The phase is kept by [`StoredTask`], which says more.
fn seen_of(name: &str, task: &TaskState) -> proto::model::TaskStatus {
    proto::model::TaskStatus {
        name: name.to_owned(),
        phase: proto::model::TaskPhase::Waiting,
        attempt: task.attempt,
        window_try: 0,
        window_tries: None,
        pid: task.pid,
        started_at: task.started_at,
        last_end: task.last_end.clone(),
    }
}

fn from_stored(stored: Stored) -> Result<Record, BadMessage> {
    let need = |field| BadMessage { field };
    let spec = spec::from_wire(stored.spec.ok_or(need("spec"))?)?;
    let seen = status::from_wire(stored.seen.ok_or(need("seen"))?)?;
    let mut tasks = BTreeMap::new();
    for task in seen.tasks {
        let more = stored.tasks.get(&task.name).ok_or(need("tasks"))?;
        let phase = phase_of(more.phase, BootTime(more.backoff_until_boot_ms)).ok_or(need("phase"))?;
        let tries = Tries {
            window_start: more.window_start_boot_ms.map(BootTime),
            used: more.used,
            series: more.series,
        };
        let state = TaskState {
            phase,
            attempt: task.attempt,
            tries,
            pid: task.pid,
            started_at: task.started_at,
            last_end: task.last_end,
        };
        tasks.insert(task.name, state);
    }
    if !tasks.keys().eq(spec.group.tasks.keys()) {
        return Err(need("tasks"));
    }
    Ok(Record {
        id: AllocId(stored.id),
        incarnation: Incarnation(stored.incarnation),
        spec,
        boot_id: stored.boot_id,
        state: seen.state,
        course: Course {
            stop_ordered: stored.stop_ordered,
            timed_out: stored.timed_out,
            main_started: stored.main_started_boot_ms.map(BootTime),
            poststop_since: stored.poststop_since_boot_ms.map(BootTime),
        },
        released_at: stored.released_at_ms.map(Timestamp),
        tasks,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use proto::model::{EndReason, JobType, TaskEnd};

    use super::*;
    use crate::core::spec::tests::spec;

    pub(crate) fn record(id: u64) -> Record {
        let spec = spec(JobType::Service, &["shipper", "web"]);
        Record::new(AllocId(id), Incarnation(77), spec, "boot-1".into())
    }

    fn busy() -> Record {
        let mut record = record(5);
        let web = record.tasks.get_mut("web").expect("it is there");
        web.phase = Phase::Backoff(BootTime(90_000));
        web.attempt = 3;
        web.tries = Tries { window_start: Some(BootTime(70_000)), used: 2, series: 2 };
        web.started_at = Some(Timestamp(1_700_000_000_000));
        web.last_end = Some(TaskEnd {
            reason: EndReason::Signal(11),
            at: Timestamp(1_700_000_001_000),
            ran: Duration::from_secs(1),
            tail: "segmentation fault".into(),
        });
        record.tasks.get_mut("shipper").expect("it is there").phase = Phase::Ended(Outcome::Complete);
        record.state = AllocState::Running;
        record.released_at = Some(Timestamp(3));
        record
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let record = busy();
        assert_eq!(Record::decode(&record.encode()).expect("it is whole"), record);
    }

    #[test]
    fn a_record_of_a_newer_agent_is_refused_by_its_version() {
        let mut bytes = busy().encode();
        bytes[7] = 9;
        assert!(matches!(Record::decode(&bytes), Err(RecordError::TooNew(9))));
    }

    #[test]
    fn after_a_reboot_a_delay_is_over_and_the_window_goes_on() {
        let mut record = busy();
        assert!(!record.adopt_boot("boot-1", BootTime(5)));
        assert!(record.adopt_boot("boot-2", BootTime(5)));
        let web = &record.tasks["web"];
        assert_eq!(web.phase, Phase::Backoff(BootTime(5)));
        assert_eq!(web.tries, Tries { window_start: Some(BootTime(0)), used: 2, series: 2 });
    }

    proptest! {
        #[test]
        fn a_cut_record_is_an_error(len in 0usize..1000) {
            let bytes = busy().encode();
            prop_assume!(len < bytes.len());
            prop_assert!(Record::decode(&bytes[..len]).is_err());
        }

        #[test]
        fn a_flipped_bit_is_an_error(place in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = busy().encode();
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            let decoded = Record::decode(&bytes);
            // The version alone is outside of the checksum; a smaller one is read as what it is.
            prop_assert!(decoded.is_err() || (4..8).contains(&place));
        }

        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(VERSION.to_be_bytes());
            bytes.extend(crc32fast::hash(&body).to_be_bytes());
            bytes.extend(body);
            let _ = Record::decode(&bytes);
        }
    }
}
