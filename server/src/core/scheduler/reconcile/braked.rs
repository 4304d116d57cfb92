//! Slots whose allocation was lost together with many others: the brake holds them, and they are not begun anew at another index meanwhile.

use std::collections::BTreeSet;

use proto::time::Timestamp;

use super::GroupWork;
use super::view::GroupView;
use crate::core::state::{Alloc, State};

impl<'a> GroupView<'a> {
    /// Looks up which of the group's lost allocations are held, and until when.
    pub(super) fn braked(mut self, allocs: &[&'a Alloc], state: &State, now: Timestamp) -> Self {
        let Some(brake) = &state.brake else { return self };
        let held = |alloc: &&'a Alloc| {
            let until = brake.lets_go_at(alloc.node, state.settings.brake_pause)?;
            Some((alloc.index, until)).filter(|_| alloc.lost && until > now)
        };
        self.brakes = allocs.iter().filter_map(held).collect();
        self
    }

    /// Lets their slots wait: marks them as used, and returns how many of the `room` they take.
    pub(super) fn wait_for_brake(
        &self,
        state: &State,
        used: &mut BTreeSet<u32>,
        room: usize,
        work: &mut GroupWork,
    ) -> usize {
        let mut waiting = 0;
        // A slot that is not wanted any more takes nobody's room.
        for (index, until) in self.brakes.iter().filter(|(index, _)| self.group.has_slot(*index)) {
            work.wake_by(*until);
            waiting += usize::from(used.insert(*index));
        }
        let taken = waiting.min(room);
        if taken > 0 {
            work.held += u32::try_from(taken).unwrap_or(u32::MAX);
            let lost = state.brake.as_ref().map_or(0, |brake| brake.nodes.len());
            work.braked = format!(
                "its node was lost together with {} others: it is replaced after a pause, node by node, or at once by `minijob operator brake release`",
                lost.saturating_sub(1)
            );
        }
        taken
    }
}
