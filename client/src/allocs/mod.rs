//! All allocations of this node: one actor each, and one that knows them all.
//!
//! Reading order: `outbox` is what servers have still to learn; `view` what others may know of an allocation; `alloc` is the
//! actor of one; `effects` does what `core` asks for; `manager` starts and finds them; `fence` is until
//! when they may run, `tidy` how it forgets them, `reattach` its first act, `leftovers` what has no record.

pub mod alloc;
mod effects;
mod fence;
mod leftovers;
pub mod manager;
pub mod outbox;
pub mod reattach;
mod tidy;
pub mod view;
