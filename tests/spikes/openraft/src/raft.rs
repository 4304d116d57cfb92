//! The product's log store, by path: the server crate itself would bring its own openraft.

#[path = "../../../../server/src/raft/durable.rs"]
pub(crate) mod durable;
#[path = "../../../../server/src/raft/log_store/mod.rs"]
pub mod log_store;
