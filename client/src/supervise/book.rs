//! What is here, and the position and numbers that the supervisor gives in the place of servers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::ids::{AllocId, Incarnation, Revision};

use crate::allocs::view::View;
use crate::core::assignments::{Order, Position, Wanted};
use crate::core::spec::Spec;
use crate::core::supervise::reconcile::Held;
use crate::core::supervise::verdict::Judged;

/// One allocation.
#[derive(Debug)]
struct Entry {
    view: View,
    is_dismissed: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Book {
    position: Position,
    entries: BTreeMap<AllocId, Entry>,
}

impl Book {
    /// Opens the book with what an earlier supervisor left: it goes on counting where that stopped. What has ended since says
    /// nothing about the work.
    pub(super) fn new(newest: Option<Position>, found: BTreeMap<AllocId, View>, random: u64) -> Self {
        // 0 stands for no incarnation.
        let first = || Position {
            incarnation: Incarnation(random.max(1)),
            reign: Revision(1),
            revision: Revision(1),
        };
        let mut position = newest.unwrap_or_else(first);
        let highest = found.keys().map(|id| id.0).max().unwrap_or(0);
        position.revision = Revision(position.revision.0.max(highest));
        let entry = |view: View| Entry { is_dismissed: view.status.state.has_ended(), view };
        let unreleased = found.into_iter().filter(|(_, view)| view.released_at.is_none());
        Self { position, entries: unreleased.map(|(id, view)| (id, entry(view))).collect() }
    }

    /// Returns the position that the next message carries, see [`Book::message`].
    pub(super) const fn position(&self) -> Position {
        self.position
    }

    /// Returns the number of the next allocation. Numbers and messages share one counter, which the position keeps on disk.
    pub(super) const fn next_id(&mut self) -> AllocId {
        self.position.revision = self.position.revision.next();
        AllocId(self.position.revision.0)
    }

    /// Returns a message to the manager. It is complete as far as the manager may start things; what it does not name goes on.
    pub(super) fn message(
        &mut self,
        orders: BTreeMap<AllocId, Order>,
        released: BTreeSet<AllocId>,
    ) -> Wanted {
        self.position.revision = self.position.revision.next();
        Wanted { position: self.position, base: None, more: false, orders, released }
    }

    /// Notes an allocation that was begun.
    pub(super) fn insert(&mut self, id: AllocId, view: View) {
        self.entries.entry(id).or_insert(Entry { view, is_dismissed: false });
    }

    /// Notes the latest of an allocation; returns what was known before. One that was struck out may still be heard of.
    pub(super) fn note(&mut self, id: AllocId, view: View) -> Option<View> {
        self.entries.get_mut(&id).map(|entry| std::mem::replace(&mut entry.view, view))
    }

    /// Notes that an allocation was told to end.
    pub(super) fn dismiss(&mut self, id: AllocId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.is_dismissed = true;
        }
    }

    /// Strikes an allocation out.
    pub(super) fn remove(&mut self, id: AllocId) {
        self.entries.remove(&id);
    }

    /// Returns the numbers of all.
    pub(super) fn ids(&self) -> BTreeSet<AllocId> {
        self.entries.keys().copied().collect()
    }

    /// Returns the allocations as the decision about steps sees them.
    pub(super) fn held(&self) -> BTreeMap<AllocId, Held> {
        let held = |entry: &Entry| Held {
            spec: entry.view.spec.clone(),
            has_ended: entry.view.status.state.has_ended(),
            is_dismissed: entry.is_dismissed,
        };
        self.entries.iter().map(|(id, entry)| (*id, held(entry))).collect()
    }

    /// Returns the allocations whose end says something about the work.
    pub(super) fn judged(&self) -> Vec<Judged<'_>> {
        let wanted = self.entries.values().filter(|entry| !entry.is_dismissed);
        wanted.map(|entry| Judged { spec: &entry.view.spec, status: &entry.view.status }).collect()
    }

    /// Returns whether anything has not ended.
    pub(super) fn anything_lives(&self) -> bool {
        self.entries.values().any(|entry| !entry.view.status.state.has_ended())
    }

    /// Returns the ports of all that has not ended.
    pub(super) fn ports(&self) -> BTreeSet<u16> {
        let living = self.entries.values().filter(|entry| !entry.view.status.state.has_ended());
        living.flat_map(|entry| entry.view.spec.ports.values().copied()).collect()
    }

    /// Returns what runs: attempts by allocation, with what they run.
    pub(super) fn running(&self) -> impl Iterator<Item = (AllocId, Arc<Spec>, &BTreeMap<String, u32>)> {
        self.entries.iter().map(|(id, entry)| (*id, entry.view.spec.clone(), &entry.view.running))
    }
}
