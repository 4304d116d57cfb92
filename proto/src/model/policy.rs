//! What happens after an end: restart on the node, reschedule on another.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The least delay before a restart: a program that dies at once can never spin.
pub const LEAST_DELAY: Duration = Duration::from_millis(100);

/// How delays grow from one try to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backoff {
    /// Every delay is the first.
    Constant,
    /// Every delay is twice the one before, up to `max_delay`.
    Exponential,
}

/// The window in which restarts are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// A window of this length begins with the first restart.
    Window(Duration),
    /// One window that never ends.
    Forever,
}

/// What happens when the tries on the node are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExhausted {
    /// The allocation ends as failed; the servers place a new one, on another node if one fits.
    Move,
    /// Waits until the window ends and tries again on the node.
    Stay,
    /// The allocation ends as failed and stays so until a person acts.
    Fail,
}

/// Which ends are followed by a restart. The exit with 0 of a batch job never is: it is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestartOn {
    /// Every end.
    #[default]
    Any,
    /// Ends that are failures. A service that exits with 0 has done what it was meant to do.
    Failure,
    /// None: a failure ends the allocation as failed.
    Never,
}

/// The restart policy: what the node tries by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Restarts inside one window: 3 are 4 starts. `None` never gives up.
    pub attempts: Option<u32>,
    /// The window.
    pub interval: Interval,
    /// The first delay, at least [`LEAST_DELAY`].
    pub delay: Duration,
    /// How it grows.
    pub backoff: Backoff,
    /// Its limit; also the time of good running after which the series starts over.
    pub max_delay: Duration,
    /// Percent by which a delay varies, 0 to 100, so that a hundred tasks do not start in step.
    pub jitter_percent: u8,
    /// What then.
    pub on_exhausted: OnExhausted,
    /// Which ends count.
    pub on: RestartOn,
}

impl Restart {
    /// Default of a service: 3 restarts in 5 min, 1 s doubling to 30 s, then elsewhere.
    pub const SERVICE: Self = Self {
        attempts: Some(3),
        interval: Interval::Window(Duration::from_secs(300)),
        delay: Duration::from_secs(1),
        backoff: Backoff::Exponential,
        max_delay: Duration::from_secs(30),
        jitter_percent: 10,
        on_exhausted: OnExhausted::Move,
        on: RestartOn::Any,
    };
    /// Default of a batch job: 3 restarts in 24 h, 5 s apart and doubling.
    pub const BATCH: Self = Self {
        interval: Interval::Window(Duration::from_secs(24 * 3600)),
        delay: Duration::from_secs(5),
        ..Self::SERVICE
    };
}

/// The reschedule policy: how often, and how fast, servers place a failed allocation anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reschedule {
    /// Replacements of one slot; `None` never gives up.
    pub attempts: Option<u32>,
    /// The first delay.
    pub delay: Duration,
    /// How it grows.
    pub backoff: Backoff,
    /// Its limit.
    pub max_delay: Duration,
}

impl Reschedule {
    /// Default of a service: for ever, 5 s doubling to 10 min.
    pub const SERVICE: Self = Self {
        attempts: None,
        delay: Duration::from_secs(5),
        backoff: Backoff::Exponential,
        max_delay: Duration::from_secs(600),
    };
    /// Default of a batch job: once.
    pub const BATCH: Self = Self { attempts: Some(1), ..Self::SERVICE };

    /// Returns the delay before the replacement that follows `done` earlier ones.
    #[must_use]
    pub fn delay_after(&self, done: u32) -> Duration {
        grown(self.delay, self.backoff, self.max_delay, done)
    }
}

/// The pace at which a group's allocations leave a node that is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrate {
    /// How many of a group may move at once: that many more than its count may run meanwhile. At least 1.
    pub max_parallel: u32,
    /// How long a replacement must have run, and be healthy, before what it replaces ends.
    pub min_healthy_time: Duration,
    /// How long a replacement may take for that; then it ends and another one is tried. More than `min_healthy_time`.
    pub healthy_deadline: Duration,
}

impl Default for Migrate {
    fn default() -> Self {
        Self {
            max_parallel: 1,
            min_healthy_time: Duration::from_secs(5),
            healthy_deadline: Duration::from_secs(300),
        }
    }
}

/// Returns the delay after `done` earlier ones, without jitter.
#[must_use]
pub fn grown(first: Duration, backoff: Backoff, most: Duration, done: u32) -> Duration {
    match backoff {
        Backoff::Constant => first,
        Backoff::Exponential => {
            let factor = 1u32.checked_shl(done).unwrap_or(u32::MAX);
            first.saturating_mul(factor).min(most.max(first))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit() {
        let policy = Reschedule::SERVICE;
        let seconds: Vec<u64> = (0..9).map(|done| policy.delay_after(done).as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(policy.delay_after(u32::MAX), policy.max_delay);
    }
}
