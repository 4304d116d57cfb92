//! The present series of failures of a slot, as its events tell it.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::model::{Event, EventKind};
use proto::time::Timestamp;

use crate::core::rules::MIN_HEALTHY_TIME;
use crate::core::state::{JobRecord, State};

/// Ends that followed one another without a time of good running between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    /// When it began: the first end after what was believed to be well.
    pub(super) since: Timestamp,
    /// When tasks ended, oldest first.
    pub(super) ends: Vec<Timestamp>,
    /// The longest life of those that were too short to be believed; none when the only end came after a good one.
    longest: Option<Duration>,
    /// What runs this long is well, whatever came before: the restart policy starts over.
    good: Duration,
}

impl Series {
    /// Returns how long the next life has to last to be believed: as long as the restart policy starts over after, or longer than
    /// any life of the series. None when there is nothing to doubt: one end after a long life is no series yet.
    pub(super) fn believed_after(&self) -> Option<Duration> {
        self.longest.map(|longest| self.good.min(longest.saturating_add(MIN_HEALTHY_TIME)))
    }

    /// Says how often it ended, where that was several times: `3 ends in the last minute`.
    pub(super) fn count(&self, now: Timestamp) -> Option<String> {
        let lately = self.ends.iter().filter(|at| now.since(**at) < Duration::from_secs(60)).count();
        match (lately, self.ends.len()) {
            (_, 0 | 1) => None,
            (0 | 1, all) => Some(format!("{all} ends in a row")),
            (lately, _) => Some(format!("{lately} ends in the last minute")),
        }
    }

    fn begin(at: Timestamp, good: Duration) -> Self {
        Self { since: at, ends: Vec::new(), longest: None, good }
    }

    fn end(&mut self, at: Timestamp, life: Option<Duration>) {
        self.ends.push(at);
        self.longest = self.longest.max(life.filter(|life| *life < self.good));
    }

    /// Returns whether a life of that length was believed, so that its end begins another series.
    fn is_over_with(&self, life: Duration) -> bool {
        life >= self.believed_after().unwrap_or(self.good)
    }
}

/// Returns the present series of a slot, or of one task in it. None when the events that would say so are no longer kept.
pub(super) fn series(
    state: &State,
    record: &JobRecord,
    group: &str,
    index: u32,
    task: Option<&str>,
) -> Option<Series> {
    let good = record.current().job.groups.get(group).map_or(Duration::MAX, |group| group.restart.max_delay);
    let of_slot =
        |event: &Event| event.subject.group.as_deref() == Some(group) && event.subject.index == Some(index);
    let mut started: BTreeMap<&str, Timestamp> = BTreeMap::new();
    let mut present: Option<Series> = None;
    for event in state.events.of_job(&record.key) {
        let name = event.subject.task.as_deref().unwrap_or_default();
        let of_task = of_slot(event) && task.is_none_or(|task| task == name);
        match event.kind {
            EventKind::JobSubmitted => {
                started.clear();
                present = None;
            }
            EventKind::TaskStarted if of_task => {
                started.insert(name, event.time);
            }
            EventKind::TaskEnded if of_task => {
                let life = started.remove(name).map(|started| event.time.since(started));
                if event.reason == "stopped" {
                    continue;
                }
                let before =
                    present.take().filter(|before| !life.is_some_and(|life| before.is_over_with(life)));
                let series = present.insert(before.unwrap_or_else(|| Series::begin(event.time, good)));
                series.end(event.time, life);
            }
            EventKind::AllocFailed if of_slot(event) => {
                present.get_or_insert_with(|| Series::begin(event.time, good));
            }
            _ => {}
        }
    }
    present
}
