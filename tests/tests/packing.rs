//! A fleet needs fewer machines than by best fit among a few that are drawn, which is how a peer does it (docs/performance.md, P11):
//! the same figures, smaller.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the place and the reason")]

use tests::packing::{Decider, EASY, HARD, LOPSIDED, Mix, Packing};

/// A fifth of the benchmark's fleet.
const MACHINES: usize = 100;
/// Seven drawn of a hundred, as the peer places a service.
const PEER: Decider = Decider::Sampling(7);

/// Fleets: a large allocation more or less makes points of difference in one of them.
const SEEDS: std::ops::Range<u64> = 1..5;

/// Returns the machines in use at 50 % beside the least that must be, and what is in use when the first has no place: the mean of some
/// fleets.
fn figures(decider: Decider, mix: Mix) -> (f64, f64) {
    let of_one = |seed| {
        let mut packing = Packing::new(decider, mix, MACHINES, seed);
        packing.fill_to(50.0).unwrap();
        (packing.ratio(), packing.fill().unwrap())
    };
    let all: Vec<(f64, f64)> = SEEDS.map(of_one).collect();
    let mean = |one: fn(&(f64, f64)) -> f64| all.iter().map(one).sum::<f64>() / all.len() as f64;
    (mean(|figures| figures.0), mean(|figures| figures.1))
}

#[test]
fn easy_sizes_need_a_tenth_of_machines_more_than_they_must_and_fill_more_than_among_a_few_that_are_drawn() {
    let ((ratio, full), (peer, peer_full)) = (figures(Decider::Shipped, EASY), figures(PEER, EASY));
    assert!(ratio <= 1.1 && ratio <= peer, "{ratio}, drawn {peer}");
    assert!(full >= peer_full, "{full} %, drawn {peer_full} %");
}

#[test]
fn hard_sizes_need_no_more_machines_and_fill_no_less_than_among_a_few_that_are_drawn() {
    let ((ratio, full), (peer, peer_full)) = (figures(Decider::Shipped, HARD), figures(PEER, HARD));
    assert!(ratio <= peer, "{ratio}, drawn {peer}");
    assert!(full >= peer_full, "{full} %, drawn {peer_full} %");
}

#[test]
fn sizes_that_all_take_memory_above_all_begin_no_machine_for_the_sake_of_balance() {
    let ((ratio, full), (peer, peer_full)) = (figures(Decider::Shipped, LOPSIDED), figures(PEER, LOPSIDED));
    assert!(ratio <= 1.05 && ratio <= peer, "{ratio}, drawn {peer}");
    assert!(full >= peer_full - 0.1, "{full} %, drawn {peer_full} %");
}

#[test]
fn a_spread_is_even_to_one() {
    let mut packing = Packing::new(Decider::Shipped, HARD, MACHINES, 1);
    packing.fill_to(50.0).unwrap();
    assert!(packing.skew(60).unwrap() <= 1);
}

#[test]
fn the_same_seed_is_the_same_figure() {
    let ratio = || {
        let mut packing = Packing::new(Decider::Shipped, HARD, 25, 7);
        packing.fill_to(50.0).unwrap();
        packing.churn(1).unwrap();
        packing.ratio().to_bits()
    };
    assert_eq!(ratio(), ratio());
}
