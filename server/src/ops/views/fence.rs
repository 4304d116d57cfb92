//! Until when a lost allocation may still run under its fence, as people are told.

use proto::time::Timestamp;

use crate::core::rules::fence::wait_out;
use crate::core::state::{Alloc, JobRecord, State};

/// Returns when the replacement of a lost allocation may start at about; none: nothing waits for its fence. It is counted from when the
/// node was taken for lost, so that it is rather sooner, or later if another server has begun to lead since.
pub(super) fn runs_out_at(state: &State, record: &JobRecord, alloc: &Alloc) -> Option<Timestamp> {
    let waits = alloc.lost && !alloc.has_ended() && record.filler_of(&alloc.group, alloc.index).is_none();
    let at = alloc.lost_at?.plus(wait_out(alloc.fence?));
    (waits && at > state.now).then_some(at)
}

/// Returns the same for the last of a group.
pub(super) fn last_runs_out_at(state: &State, record: &JobRecord, group: &str) -> Option<Timestamp> {
    let lost = record.lost.iter().filter(|(of, ..)| **of == *group);
    lost.filter_map(|(.., id)| runs_out_at(state, record, state.allocs.get(*id)?)).max()
}
