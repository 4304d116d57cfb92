//! Fences: how long what must never run twice may go on without word from the servers.
//!
//! A deadline is counted from when the heartbeat was sent whose acknowledgement a majority stood behind, on the clock that counts
//! suspend; the servers count from when it came, which is later.

use std::time::Duration;

use proto::time::BootTime;

/// The part of a fence that a graceful stop may take at most: the rest is for heartbeats and their answers.
const GRACE_PART: u32 = 4;
/// How many heartbeats are sent within a fence, at least.
const BEATS: u32 = 5;

/// Returns how long before its deadline a task is told to stop.
#[must_use]
pub fn grace(fence: Duration, stop_timeout: Duration) -> Duration {
    stop_timeout.min(fence / GRACE_PART)
}

/// Returns the deadline that a confirmed heartbeat makes.
#[must_use]
pub fn deadline(confirmed: BootTime, fence: Duration) -> BootTime {
    confirmed.plus(fence)
}

/// Returns the deadline with which something may be started now; none: not before the next confirmed heartbeat. What would be told to
/// stop at once is not started.
#[must_use]
pub fn may_start(confirmed: Option<BootTime>, fence: Duration, now: BootTime) -> Option<BootTime> {
    let deadline = deadline(confirmed?, fence);
    (now.plus(fence / GRACE_PART) < deadline).then_some(deadline)
}

/// Returns how often to send a heartbeat where `pace` is asked for, and the shortest fence here is this.
#[must_use]
pub fn pace(pace: Duration, shortest: Option<Duration>) -> Duration {
    shortest.map_or(pace, |fence| pace.min(fence / BEATS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_graceful_stop_takes_at_most_a_quarter_of_the_fence() {
        assert_eq!(grace(10 * SECOND, 5 * SECOND), Duration::from_millis(2500));
        assert_eq!(grace(60 * SECOND, 5 * SECOND), 5 * SECOND);
    }

    #[test]
    fn nothing_starts_without_a_deadline_that_is_far_enough() {
        let fence = 8 * SECOND;
        assert_eq!(may_start(None, fence, BootTime(0)), None);
        let confirmed = Some(BootTime(10_000));
        assert_eq!(may_start(confirmed, fence, BootTime(10_100)), Some(BootTime(18_000)));
        assert_eq!(may_start(confirmed, fence, BootTime(15_999)), Some(BootTime(18_000)));
        assert_eq!(may_start(confirmed, fence, BootTime(16_000)), None, "it would be told to stop at once");
        assert_eq!(may_start(confirmed, fence, BootTime(99_000)), None);
    }

    #[test]
    fn several_heartbeats_fit_into_the_shortest_fence() {
        assert_eq!(pace(SECOND, None), SECOND);
        assert_eq!(pace(SECOND, Some(60 * SECOND)), SECOND);
        assert_eq!(pace(SECOND, Some(4 * SECOND)), Duration::from_millis(800));
    }
}
