//! I5: absence is never a stop. An agent ends an allocation only on an explicit order whose position is not older than the newest
//! that it has seen, and only when servers do not want it to run.

use client::core::assignments::Position;
use proto::ids::AllocId;
use proto::model::Desired;
use server::core::state::State;

use crate::laws::must;
use crate::sim::Broken;

const LAW: &str = "i5_absence";

/// Has no memory.
#[derive(Default)]
pub struct Absence;

impl Absence {
    /// An agent is about to end an allocation.
    pub fn stop(
        &self,
        state: &State,
        id: AllocId,
        ordered: bool,
        position: Position,
        newest: Position,
    ) -> Result<(), Broken> {
        must(LAW, ordered, || format!("alloc {} is stopped without an order", id.0))?;
        let in_time = position.incarnation == newest.incarnation
            && (position.reign, position.revision) >= (newest.reign, newest.revision);
        must(LAW, in_time, || {
            format!("alloc {} is stopped by an order of {position:?}, seen was {newest:?}", id.0)
        })?;
        let runs =
            state.allocs.get(id).is_some_and(|alloc| alloc.is_active() && alloc.desired == Desired::Run);
        must(LAW, !runs, || format!("alloc {} is stopped, and servers want it to run", id.0))
    }
}
