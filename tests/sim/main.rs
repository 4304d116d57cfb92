//! The whole core under one clock: one server or three, agents, people and faults, a thousand different lives, every promise looked
//! at after every command. Nothing here waits, and the same seed is the same story.
//!
//! There is one log; each server applies it at its own pace, and one of them leads at a time, whatever others believe. openraft is
//! not part of this: `server/src/raft/trio` has it.
//!
//! `MJ_SIM_SEEDS=5000` runs more of them, `MJ_SIM_SEED=17` runs one and tells it.

// A test that unwraps fails with the place and the reason, which is what it is for.
#![allow(clippy::unwrap_used, missing_docs)]

mod agent;
mod alloc;
mod clients;
mod driver;
mod event;
mod faults;
mod freeze;
mod i1_capacity;
mod i2_count;
mod i3_forward;
mod i4_timers;
mod i5_absence;
mod i6_determinism;
mod i9_acknowledged;
mod laws;
mod leader;
mod lifecycle_order;
mod log;
mod machine;
mod network;
mod never_twice;
mod planted;
mod reigns;
mod replica;
mod runner;
mod servers;
mod sessions;
mod sim;
mod trace;
