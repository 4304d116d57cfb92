//! What would become of everything if nodes were lost.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Waiting;
use crate::ids::Revision;

/// What would become of everything if nodes were lost. Nothing is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LossView {
    /// The nodes, by name.
    pub nodes: Vec<String>,
    /// Whether everything would have a place that has one now.
    pub fits: bool,
    /// Allocations that would move.
    pub moves: u32,
    /// The jobs that they belong to.
    pub jobs_moved: u32,
    /// Allocations that would have no place; what waits for one already is not counted.
    pub without_place: u32,
    /// The jobs that they belong to.
    pub jobs_without_place: u32,
    /// The jobs of which something would move or have no place. Those that the token may not see are only counted above.
    pub jobs: Vec<JobLoss>,
    /// The revision of the state that this was decided on.
    pub revision: Revision,
}

/// What would become of one job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobLoss {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its groups of which something would move or have no place.
    pub groups: BTreeMap<String, GroupLossView>,
}

/// What would become of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupLossView {
    /// What would move.
    pub moves: Vec<Move>,
    /// What would have no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

/// Allocations that would be placed anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Move {
    /// The name of the node that they run on.
    pub from: String,
    /// The name of the node that they would run on.
    pub to: String,
    /// How many.
    pub count: u32,
}
