//! Nodes and servers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AllocView, List, NodeView, Version};
use crate::ids::{Revision, ServerId};
use crate::model::Event;
use crate::time::Timestamp;

/// Everything about one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeStatus {
    /// The line of the list.
    #[serde(flatten)]
    pub node: NodeView,
    /// Its allocations that have not ended, by name.
    pub running: Vec<AllocView>,
    /// The latest events about the machine, oldest first.
    pub events: Vec<Event>,
    /// The revision of the state that this shows.
    pub revision: Revision,
}

/// A node that is being emptied, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrainView {
    /// `draining`, or `drained` when nothing was left.
    pub state: String,
    /// Who wanted it.
    pub by: String,
    /// What they said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when.
    pub begun_at: Timestamp,
    /// When what is left is told to end; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Whether that has happened.
    #[serde(default)]
    pub overdue: bool,
    /// Allocations that are left.
    pub left: u32,
    /// When nothing was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_at: Option<Timestamp>,
}

/// All servers of the cluster.
pub type ServerList = List<ServerView>;

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerView {
    /// Its id.
    pub id: ServerId,
    /// Its name.
    pub name: String,
    /// Where it is reached.
    pub address: String,
    /// Whether it leads.
    pub leader: bool,
    /// Whether it decides with the others; if not, it still learns.
    pub voter: bool,
    /// Whether it answered the server that was asked, at this moment.
    pub reachable: bool,
    /// How many entries of the log it has not applied yet that the one that was asked, or the leader, has; none: it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// What it speaks; none: not known here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}
