//! A fleet for a long time: the shipped state, decisions, desk and rules, with agents that are played in a few lines. Jobs arrive and
//! end, are changed and scaled; tasks fail; nodes are lost, return, flap and are cordoned. The laws are looked at in sampled moments.
//!
//! Here 200 machines and 2,000 allocations for a day; with `MJ_FLEET=full` 10,000 machines and 100,000 allocations for a week, which
//! wants optimisation: `MJ_FLEET=full cargo test --release -p tests --test fleet -- --nocapture`.

// A test that unwraps fails with the place and the reason, which is what it is for.
#![allow(clippy::unwrap_used, missing_docs)]

mod agents;
mod fleet;
mod laws;
mod leader;
mod people;
mod tally;

use fleet::{Fleet, Size};

#[test]
fn a_fleet_lives_for_long_and_every_law_holds() {
    let size = match std::env::var("MJ_FLEET").as_deref() {
        Ok("full") => Size::FULL,
        _ => Size::SMALL,
    };
    let mut fleet = Fleet::new(size, 1);
    fleet.live();
    println!("{}", fleet.tally.told(&fleet.state, size));
    // A life in which nothing happened would prove nothing.
    let tally = &fleet.tally;
    for (what, count) in tally.must_have_happened() {
        assert!(count > 0, "no {what}");
    }
}
