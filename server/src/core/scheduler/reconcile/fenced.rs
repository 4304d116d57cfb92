//! Slots whose lost allocation may still run under its fence: they wait, and are not begun anew at another index meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::time::Timestamp;
use proto::units::show_duration;

use super::GroupWork;
use super::view::GroupView;
use crate::core::rules::fence::{Fences, wait_out};
use crate::core::state::{Alloc, State};

/// A lost allocation that may still run.
pub(super) struct Fenced<'a> {
    alloc: &'a Alloc,
    fence: Duration,
    /// For how long it may.
    left: Duration,
}

impl<'a> GroupView<'a> {
    /// Looks up which of the group's lost allocations may still run.
    pub(super) fn fenced(mut self, allocs: &[&'a Alloc], fences: &Fences) -> Self {
        let lost = allocs.iter().copied().filter(|alloc| alloc.lost);
        self.fences = lost
            .filter_map(|alloc| {
                let fence = alloc.fence?;
                fences.left(alloc.node, fence).map(|left| Fenced { alloc, fence, left })
            })
            .collect();
        self
    }

    /// Lets their slots wait: marks them as used, and returns how many of the `room` they take.
    pub(super) fn wait_for_fences(
        &self,
        state: &State,
        used: &mut BTreeSet<u32>,
        room: usize,
        work: &mut GroupWork,
        now: Timestamp,
    ) -> usize {
        let mut waiting: Vec<&Fenced<'_>> = Vec::new();
        // A slot that is not wanted any more takes nobody's room.
        for one in self.fences.iter().filter(|one| self.group.has_slot(one.alloc.index)) {
            work.wake_by(now.plus(one.left));
            if used.insert(one.alloc.index) {
                waiting.push(one);
            }
        }
        let taken = waiting.len().min(room);
        if let Some(last) = waiting.iter().take(taken).max_by_key(|one| (one.left, one.alloc.id)) {
            let node = state.nodes.get(&last.alloc.node);
            let node = node.map_or_else(|| last.alloc.node.to_string(), |node| node.identity.name.clone());
            work.held += u32::try_from(taken).unwrap_or(u32::MAX);
            work.fenced = format!(
                "{} may still run on {node}, which does not answer: it is replaced when its fence ({}) has certainly run out, {} after {node} was heard last",
                last.alloc.name(),
                show_duration(last.fence),
                show_duration(wait_out(last.fence)),
            );
        }
        taken
    }
}
