//! What others may know of an allocation at any moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::ids::{AllocId, Incarnation};
use proto::model::{AllocState, AllocStatus, Resources};
use proto::time::Timestamp;
use proto::wire::{job, status, v1};

use crate::core::assignments::Held;
use crate::core::retention::{self, Remains};
use crate::core::spec::Spec;

/// The latest of one allocation.
#[derive(Clone, Debug)]
pub struct View {
    /// The life of the cluster's state that assigned it.
    pub incarnation: Incarnation,
    /// What it runs.
    pub spec: Arc<Spec>,
    /// What servers are told.
    pub status: AllocStatus,
    /// Attempts that the driver should know as running, by task.
    pub running: BTreeMap<String, u32>,
    /// When servers said that they know its end.
    pub released_at: Option<Timestamp>,
}

impl View {
    /// As the decision about orders sees it.
    #[must_use]
    pub fn held(&self) -> Held {
        Held { spec: self.spec.clone(), has_ended: self.status.state.has_ended() }
    }

    /// As the decision about what is kept sees it; none while it has not ended.
    #[must_use]
    pub fn remains(&self) -> Option<Remains> {
        let ended_at = self.status.tasks.iter().filter_map(|task| Some(task.last_end.as_ref()?.at)).max();
        let retain = retention::retain(&self.spec.group);
        self.status.state.has_ended().then(|| Remains {
            id: self.status.id,
            ended_at: ended_at.or(self.released_at).unwrap_or(Timestamp(0)),
            released_at: self.released_at,
            retain,
        })
    }

    /// As a registration names it.
    #[must_use]
    pub fn to_wire(&self) -> v1::Held {
        v1::Held {
            incarnation: self.incarnation.0,
            status: Some(status::to_wire(&self.status)),
            resources: Some(job::resources_to_wire(self.spec.group.resources())),
        }
    }
}

/// Names something that runs here without a record as a registration does: of no cluster that anybody knows, so that servers tell
/// people and stop nothing.
#[must_use]
pub fn leftover_to_wire(id: AllocId) -> v1::Held {
    let status = AllocStatus { id, seq: 0, state: AllocState::Running, tasks: Vec::new() };
    v1::Held {
        incarnation: 0,
        status: Some(status::to_wire(&status)),
        resources: Some(job::resources_to_wire(Resources::default())),
    }
}
