//! A machine with an agent.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Resources;
use crate::ids::NodeId;

/// What an agent says of itself and its machine when it registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// Random, kept in the agent's data directory.
    pub id: NodeId,
    /// Unique among live nodes; the host name by default.
    pub name: String,
    /// The machine's own id: a second agent with this node id from another machine is a cloned VM.
    pub machine_id: String,
    /// New with every boot.
    pub boot_id: String,
    /// The address that others reach this machine's tasks at.
    pub address: String,
    /// The agent's version.
    pub version: String,
    /// What tasks may take, in all.
    pub capacity: Resources,
    /// Facts such as `os`, `kernel`, `arch`.
    pub attributes: BTreeMap<String, String>,
    /// What it fails together with: the metal, the rack. None: with nothing but itself.
    pub failure_domain: Option<String>,
    /// It is about to end, and wants its node drained within this time first; none: it stays.
    pub leaving: Option<Duration>,
}

/// Whether a node answers; changed by the leader's leases only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// Holds a lease.
    Up,
    /// Let its lease run out; its work counts as lost.
    Down,
}

/// Whether a node takes new work; changed by people only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Eligibility {
    /// Takes new work.
    Eligible,
    /// Keeps what it has and takes nothing new.
    Cordoned,
}
