use proptest::prelude::*;
use proto::model::Backoff;

use super::*;

const STEADY: Restart = Restart { jitter_percent: 0, ..Restart::SERVICE };

/// Runs a task that lives for `ran` every time, from time 0, and returns when it was started and whether it gave up.
fn starts(policy: &Restart, lives: &[u64]) -> (Vec<u64>, bool) {
    let mut tries = Tries::default();
    let mut now = 0;
    let mut starts = vec![0];
    for (n, ran) in lives.iter().enumerate() {
        now += ran;
        let ran = Duration::from_millis(*ran);
        match decide(policy, tries, ran, BootTime(now), seed(AllocId(7), "web", n as u32)) {
            Verdict::Again { at, tries: next } => {
                tries = next;
                now = at.0;
                starts.push(now);
            }
            Verdict::Exhausted => return (starts, true),
        }
    }
    (starts, false)
}

#[test]
fn three_attempts_are_four_starts_one_two_and_four_seconds_apart() {
    let (starts, exhausted) = starts(&STEADY, &[0; 10]);
    assert_eq!(starts, [0, 1000, 3000, 7000]);
    assert!(exhausted);
}

#[test]
fn try_two_of_four_is_the_first_restart() {
    let Verdict::Again { tries, .. } = decide(&STEADY, Tries::default(), Duration::ZERO, BootTime(5), 0)
    else {
        panic!("the first end is never the last");
    };
    assert_eq!((tries.window_try(), window_tries(&STEADY)), (2, Some(4)));
}

#[test]
fn minus_one_never_gives_up_and_keeps_the_longest_delay() {
    let policy = Restart { attempts: None, ..STEADY };
    let (starts, exhausted) = starts(&policy, &[0; 50]);
    assert!(!exhausted);
    assert_eq!(starts.last().map(|last| last - starts[starts.len() - 2]), Some(30_000));
}

#[test]
fn a_window_that_never_ends_counts_all_restarts() {
    let policy = Restart { interval: Interval::Forever, attempts: Some(2), ..STEADY };
    let hour = 3_600_000;
    let (starts, exhausted) = starts(&policy, &[hour; 5]);
    assert_eq!(starts.len(), 3);
    assert!(exhausted);
}

#[test]
fn a_new_window_gives_new_tries() {
    let policy = Restart { attempts: Some(1), interval: Interval::Window(Duration::from_secs(10)), ..STEADY };
    let (starts, exhausted) = starts(&policy, &[11_000; 20]);
    assert!(!exhausted, "one restart per 12 s is allowed: {starts:?}");
}

#[test]
fn the_series_starts_over_after_a_good_run() {
    let policy = Restart { attempts: None, ..STEADY };
    let (starts, _) = starts(&policy, &[0, 0, 0, 30_000, 0]);
    assert_eq!(starts, [0, 1000, 3000, 7000, 38_000, 40_000]);
}

#[test]
fn stay_waits_for_the_end_of_the_window_and_tries_again() {
    let policy = Restart {
        attempts: Some(1),
        interval: Interval::Window(Duration::from_secs(60)),
        on_exhausted: OnExhausted::Stay,
        ..STEADY
    };
    let (starts, exhausted) = starts(&policy, &[0; 4]);
    assert!(!exhausted);
    // The window began at 1 s with the first restart; the try after it is the first of the next.
    assert_eq!(starts, [0, 1000, 61_000, 65_000, 125_000]);
}

#[test]
fn no_attempts_means_no_restart() {
    let policy = Restart { attempts: Some(0), ..STEADY };
    assert_eq!(starts(&policy, &[0]), (vec![0], true));
}

#[test]
fn a_reboot_gives_no_extra_tries() {
    let tries = Tries { window_start: Some(BootTime(9_000_000)), used: 3, series: 3 }.after_reboot();
    assert_eq!(decide(&STEADY, tries, Duration::ZERO, BootTime(20_000), 0), Verdict::Exhausted);
}

#[test]
fn a_hundred_tasks_do_not_start_in_step() {
    let policy = Restart::SERVICE;
    let delays: std::collections::BTreeSet<Duration> =
        (0..100).map(|alloc| delay(&policy, 4, seed(AllocId(alloc), "web", 1))).collect();
    assert!(delays.len() > 80, "only {} different delays", delays.len());
}

/// The policy written down again in the plainest way: it keeps every restart since the beginning and searches them.
struct Naive {
    /// (when, whether it was one of those that `stay` waited for)
    starts: Vec<(u64, bool)>,
    in_a_row: u32,
}

impl Naive {
    fn next(&mut self, policy: &Restart, ended: u64, ran: u64, seed: u64) -> Option<u64> {
        if Duration::from_millis(ran) >= policy.max_delay {
            self.in_a_row = 0;
        }
        let at = ended + delay(policy, self.in_a_row, seed).as_millis() as u64;
        self.in_a_row += 1;
        let Some(attempts) = policy.attempts else {
            self.starts.push((at, false));
            return Some(at);
        };
        let length = match policy.interval {
            Interval::Window(length) => length.as_millis() as u64,
            Interval::Forever => u64::MAX,
        };
        // Walk through history: a window opens at a restart, all restarts within its length belong to it.
        let mut window: Option<(u64, u32)> = None;
        for (start, waited) in &self.starts {
            window = match window {
                _ if *waited => None,
                Some((from, count)) if start - from < length => Some((from, count + 1)),
                _ => Some((*start, 1)),
            };
        }
        let window = window.filter(|(from, _)| at - from < length);
        if window.map_or(0, |(_, count)| count) < attempts {
            self.starts.push((at, false));
            return Some(at);
        }
        if policy.on_exhausted != OnExhausted::Stay || policy.interval == Interval::Forever {
            return None;
        }
        let at = at.max(window.map_or(ended, |(from, _)| from) + length);
        self.starts.push((at, true));
        Some(at)
    }
}

fn policies() -> impl Strategy<Value = Restart> {
    let interval = prop_oneof![
        Just(Interval::Forever),
        (100u64..120_000).prop_map(|ms| Interval::Window(Duration::from_millis(ms)))
    ];
    let exhausted = prop_oneof![Just(OnExhausted::Move), Just(OnExhausted::Stay), Just(OnExhausted::Fail)];
    let backoff = prop_oneof![Just(Backoff::Constant), Just(Backoff::Exponential)];
    (proptest::option::of(0u32..6), interval, 0u64..20_000, backoff, 100u64..60_000, 0u8..=100, exhausted)
        .prop_map(|(attempts, interval, delay, backoff, max_delay, jitter_percent, on_exhausted)| Restart {
            attempts,
            interval,
            delay: Duration::from_millis(delay),
            backoff,
            max_delay: Duration::from_millis(max_delay),
            jitter_percent,
            on_exhausted,
            on: RestartOn::Any,
        })
}

proptest! {
    #[test]
    fn it_decides_as_the_plainest_reading_of_the_policy_does(
        policy in policies(),
        lives in proptest::collection::vec(prop_oneof![Just(0u64), 0u64..100_000], 1..40),
    ) {
        let mut naive = Naive { starts: Vec::new(), in_a_row: 0 };
        let mut tries = Tries::default();
        let mut now = 0u64;
        for (n, ran) in lives.iter().enumerate() {
            now += ran;
            let seed = seed(AllocId(3), "t", n as u32);
            let expected = naive.next(&policy, now, *ran, seed);
            match decide(&policy, tries, Duration::from_millis(*ran), BootTime(now), seed) {
                Verdict::Again { at, tries: next } => {
                    prop_assert_eq!(Some(at.0), expected);
                    tries = next;
                    now = at.0;
                }
                Verdict::Exhausted => {
                    prop_assert_eq!(None, expected);
                    return Ok(());
                }
            }
        }
    }

    #[test]
    fn two_starts_are_never_less_than_100_ms_apart(
        policy in policies(),
        lives in proptest::collection::vec(0u64..50, 1..40),
    ) {
        let (starts, _) = starts(&policy, &lives);
        for pair in starts.windows(2) {
            prop_assert!(pair[1] - pair[0] >= 100, "{} ms apart", pair[1] - pair[0]);
        }
    }

    #[test]
    fn a_window_never_holds_more_restarts_than_it_allows(
        mut policy in policies(),
        lives in proptest::collection::vec(0u64..5_000, 1..60),
    ) {
        policy.attempts = policy.attempts.or(Some(2));
        policy.on_exhausted = OnExhausted::Move;
        let (starts, _) = starts(&policy, &lives);
        let length = match policy.interval {
            Interval::Window(length) => length.as_millis() as u64,
            Interval::Forever => u64::MAX,
        };
        let mut window: Option<(u64, u32)> = None;
        for start in &starts[1..] {
            let (from, count) = window.filter(|(from, _)| start - from < length).unwrap_or((*start, 0));
            window = Some((from, count + 1));
            prop_assert!(Some(count + 1) <= policy.attempts, "{starts:?}");
        }
    }
}
