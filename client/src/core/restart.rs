//! The restart policy: whether a task starts again on its node, and when.
//!
//! Windows and delays are counted in time since boot, which no one can set; a record that outlives a boot is brought
//! over by [`Tries::after_reboot`].

use std::time::Duration;

use proto::ids::AllocId;
use proto::model::policy::{LEAST_DELAY, grown};
use proto::model::{Interval, OnExhausted, Restart, RestartOn};
use proto::time::BootTime;

/// What the policy remembers from one try to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// When the present window began: at its first restart. None: no restart yet.
    pub window_start: Option<BootTime>,
    /// Restarts in the present window.
    pub used: u32,
    /// Delays since the series last started over.
    pub series: u32,
}

impl Tries {
    /// Returns the number of the present try for people: 1 is the first start of a window.
    #[must_use]
    pub const fn window_try(self) -> u32 {
        self.used.saturating_add(1)
    }

    /// Returns what is remembered when the machine has booted since: the window goes on as if it had begun with the boot,
    /// which can only make it end later than it would have, so that a reboot never gives extra tries.
    #[must_use]
    pub fn after_reboot(self) -> Self {
        Self { window_start: self.window_start.map(|_| BootTime(0)), ..self }
    }
}

/// What the policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start again, no earlier than `at`.
    Again {
        /// When.
        at: BootTime,
        /// To be remembered from now on.
        tries: Tries,
    },
    /// The tries on this node are used up.
    Exhausted,
}

/// Returns how many tries one window allows; none: for ever. 3 restarts are 4 tries.
#[must_use]
pub fn window_tries(policy: &Restart) -> Option<u32> {
    if policy.on == RestartOn::Never {
        return Some(1);
    }
    policy.attempts.map(|attempts| attempts.saturating_add(1))
}

/// Decides what follows an end that was learned of `now`, after the task had run for `ran`.
///
/// A window begins with its first restart and counts the restarts *due* in it.
#[must_use]
pub fn decide(policy: &Restart, tries: Tries, ran: Duration, now: BootTime, seed: u64) -> Verdict {
    let series = if ran >= policy.max_delay { 0 } else { tries.series };
    let at = now.plus(delay(policy, series, seed));
    let series = series.saturating_add(1);
    let allowed = policy.attempts.unwrap_or(u32::MAX);

    if tries.window_start.is_none_or(|start| has_window_ended(policy.interval, start, at)) {
        if allowed > 0 {
            return Verdict::Again { at, tries: Tries { window_start: Some(at), used: 1, series } };
        }
    } else if tries.used < allowed || policy.attempts.is_none() {
        return Verdict::Again { at, tries: Tries { used: tries.used.saturating_add(1), series, ..tries } };
    }
    match (policy.on_exhausted, policy.interval) {
        (OnExhausted::Stay, Interval::Window(length)) => {
            let window_end = tries.window_start.unwrap_or(now).plus(length);
            let tries = Tries { window_start: None, used: 0, series };
            Verdict::Again { at: at.max(window_end), tries }
        }
        // A window that never ends cannot be waited for: `stay` gives up there, rather than hang without a timer.
        _ => Verdict::Exhausted,
    }
}

/// Returns the number that makes the jitter of one try: the same for the same try, different between neighbours.
#[must_use]
pub fn seed(alloc: AllocId, task: &str, attempt: u32) -> u64 {
    let words = task.bytes().map(u64::from).chain([u64::from(attempt)]);
    words.fold(scramble(alloc.0), |state, word| scramble(state ^ word))
}

fn has_window_ended(interval: Interval, start: BootTime, at: BootTime) -> bool {
    match interval {
        Interval::Window(length) => at >= start.plus(length),
        Interval::Forever => false,
    }
}

/// The delay after `series` earlier ones, varied by the policy's jitter, within [`LEAST_DELAY`] and the policy's limit.
fn delay(policy: &Restart, series: u32, seed: u64) -> Duration {
    let base = grown(policy.delay, policy.backoff, policy.max_delay, series);
    let base_ms = proto::time::millis(base);
    let spread = u128::from(base_ms) * u128::from(policy.jitter_percent) / 100;
    let spread = u64::try_from(spread).unwrap_or(u64::MAX);
    let width = spread.saturating_mul(2).saturating_add(1);
    let varied = base_ms.saturating_sub(spread).saturating_add(scramble(seed) % width);
    Duration::from_millis(varied).min(policy.max_delay.max(policy.delay)).max(LEAST_DELAY)
}

/// SplitMix64: every bit of the input changes about half of the output.
const fn scramble(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
