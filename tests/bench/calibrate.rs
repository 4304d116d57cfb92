//! Whether this machine is quiet enough to measure on: a fixed piece of work must take about the same time each time.

use std::hint::black_box;
use std::time::Instant;

/// Laps; together about a second.
const LAPS: usize = 12;
/// Steps of one lap: about 100 ms of one core.
const STEPS: u64 = 60_000_000;
/// More variation than this, in percent, and figures say more about the neighbours than about the program.
pub(crate) const TOLERATED_PERCENT: f64 = 15.0;

/// Runs the loop and returns by how many percent its slowest lap was slower than its fastest.
pub(crate) fn variation_percent() -> f64 {
    lap();
    let laps: Vec<f64> = (0..LAPS).map(|_| lap()).collect();
    spread_percent(&laps)
}

fn lap() -> f64 {
    let begun = Instant::now();
    let mut x = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for step in 0..STEPS {
        x = (x ^ step).wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(29);
    }
    black_box(x);
    begun.elapsed().as_secs_f64()
}

fn spread_percent(laps: &[f64]) -> f64 {
    let least = laps.iter().copied().fold(f64::INFINITY, f64::min);
    let most = laps.iter().copied().fold(0.0, f64::max);
    (most / least - 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_lap_is_noticed() {
        assert!(spread_percent(&[1.0, 1.05, 1.1]) < TOLERATED_PERCENT);
        assert!(spread_percent(&[1.0, 1.0, 1.2]) > TOLERATED_PERCENT);
    }
}
