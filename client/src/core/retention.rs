//! How long what an ended allocation leaves behind is kept: its logs and its folders.

use std::time::Duration;

use proto::ids::AllocId;
use proto::model::Group;
use proto::time::Timestamp;

use crate::limits::{DISK_FREE_LEAST, DISK_FREE_PERCENT, KEEP_RELEASED_MAX};

/// An allocation of which nothing runs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remains {
    /// Which.
    pub id: AllocId,
    /// When it ended, as far as anybody knows.
    pub ended_at: Timestamp,
    /// When servers said that they know its end. None: its record is still needed, its logs need not be.
    pub released_at: Option<Timestamp>,
    /// How long its logs are wanted after that.
    pub retain: Duration,
}

/// Room on the disk that holds the logs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What is left for whoever runs the agent.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

impl Space {
    /// Returns whether ended allocations have to make room: below [`DISK_FREE_PERCENT`] of the disk, or [`DISK_FREE_LEAST`]
    /// where that is less.
    #[must_use]
    pub const fn is_low(self) -> bool {
        let part = self.total / 100 * DISK_FREE_PERCENT;
        self.free < if part < DISK_FREE_LEAST { part } else { DISK_FREE_LEAST }
    }
}

/// Returns how long the logs of an allocation are wanted: as long as those of the task that wants it longest.
#[must_use]
pub fn retain(group: &Group) -> Duration {
    group.tasks.values().map(|task| task.logs.retain).max().unwrap_or_default()
}

/// Returns the allocations whose time is over, and the oldest of more than [`KEEP_RELEASED_MAX`], whatever their age. One that was
/// not released is not among them.
#[must_use]
pub fn expired(remains: &[Remains], now: Timestamp) -> Vec<AllocId> {
    let mut released: Vec<_> =
        remains.iter().filter_map(|one| Some((one.released_at?, one.id, one.retain))).collect();
    released.sort_unstable();
    let excess = released.len().saturating_sub(KEEP_RELEASED_MAX);
    let is_over = |(place, (at, _, retain)): &(usize, (Timestamp, AllocId, Duration))| {
        *place < excess || now.since(*at) >= *retain
    };
    released.into_iter().enumerate().filter(is_over).map(|(_, (_, id, _))| id).collect()
}

/// Returns the allocations that make room first, at most `count`: those that ended first.
#[must_use]
pub fn oldest(remains: &[Remains], count: usize) -> Vec<Remains> {
    let mut by_age = remains.to_vec();
    by_age.sort_unstable_by_key(|one| (one.ended_at, one.id));
    by_age.truncate(count);
    by_age
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn remains(id: u64, ended_ms: u64, released: bool) -> Remains {
        let ended_at = Timestamp(ended_ms);
        Remains { id: AllocId(id), ended_at, released_at: released.then_some(ended_at), retain: HOUR }
    }

    #[test]
    fn what_was_released_is_kept_as_long_as_it_is_wanted_and_the_rest_longer() {
        let all = [remains(1, 1_000, true), remains(2, 2_000, true), remains(3, 0, false)];
        assert_eq!(expired(&all, Timestamp(3_600_999)), []);
        assert_eq!(expired(&all, Timestamp(3_601_000)), [AllocId(1)]);
        assert_eq!(expired(&all, Timestamp(99_999_999)), [AllocId(1), AllocId(2)]);
    }

    #[test]
    fn the_oldest_of_too_many_go_whatever_their_age() {
        let all: Vec<Remains> =
            (0..KEEP_RELEASED_MAX as u64 + 2).map(|id| remains(id, 5_000 - id, true)).collect();
        let newest = KEEP_RELEASED_MAX as u64 + 1;
        assert_eq!(expired(&all, Timestamp(6_000)), [AllocId(newest), AllocId(newest - 1)]);
    }

    #[test]
    fn under_pressure_what_ended_first_goes_first() {
        let all = [remains(1, 30, true), remains(2, 10, false), remains(3, 20, true)];
        let ids: Vec<u64> = oldest(&all, 2).iter().map(|one| one.id.0).collect();
        assert_eq!(ids, [2, 3]);
    }

    #[test]
    fn a_disk_is_low_below_a_twentieth_or_a_gibibyte() {
        let low = |free, total| Space { free, total }.is_low();
        assert!(low((1 << 30) - 1, 1 << 40) && !low(1 << 30, 1 << 40));
        assert!(low(49_000_000, 1_000_000_000) && !low(50_000_000, 1_000_000_000));
        assert!(!low(0, 0), "a disk of which nothing is known is not low");
    }
}
