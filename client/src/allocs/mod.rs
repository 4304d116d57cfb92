//! All allocations of this node: one actor each, and one that knows them all.
//!
//! Reading order: `outbox` is what servers have still to learn; `view` what others may know of an allocation; `alloc` is the
//! actor of one; `effects` does what `core` asks for; `manager` starts and finds them; `tidy` is how it forgets
//! them, `reattach` its first act.

pub mod alloc;
mod effects;
pub mod manager;
pub mod outbox;
pub mod reattach;
mod tidy;
pub mod view;
