//! The agent's one connection to the servers.
//!
//! Reading order: `route` is whom to dial next; `uplink` what goes up, heartbeats first; `dial` opens connections; `follow`
//! does what servers want; `report` tells them what is; `logs` reads output for them on a connection of its own; `reach` is how they
//! reach running tasks: `ask` answers small questions, `exec` runs commands; `connection` is one session, and the loop that always
//! wants one.

mod ask;
pub mod connection;
pub mod dial;
mod exec;
mod follow;
mod logs;
pub mod reach;
mod report;
pub mod route;
mod uplink;
