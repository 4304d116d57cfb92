//! What readers see: the newest snapshot, and for every watcher what changed since it last looked.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use proto::ids::{NodeId, Revision};
use proto::model::{Event, EventKind};
use tokio::sync::{Notify, broadcast, watch};

use super::Board;
use crate::core::state::{Changes, State};
use crate::limits::FACT_BATCHES_KEPT;

/// The facts of one batch of commands, in their order.
pub type Facts = Arc<[Arc<Event>]>;

/// What readers see of the state. Reading never blocks the writer.
pub struct View {
    state: ArcSwap<State>,
    revision: watch::Sender<Revision>,
    board: Board,
    nodes: Mutex<BTreeSet<NodeId>>,
    nodes_wake: Notify,
    facts: broadcast::Sender<Facts>,
    broken: watch::Sender<Option<String>>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            state: ArcSwap::from_pointee(State::default()),
            revision: watch::Sender::new(Revision(0)),
            board: Board::default(),
            nodes: Mutex::default(),
            nodes_wake: Notify::new(),
            facts: broadcast::Sender::new(FACT_BATCHES_KEPT),
            broken: watch::Sender::new(None),
        }
    }
}

impl View {
    /// Returns the newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Returns the revision of the newest snapshot, as it grows.
    #[must_use]
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    /// Returns the facts from here on, batch by batch. A follower that falls behind by more than
    /// [`FACT_BATCHES_KEPT`] batches is told so and reads on from the state's own log of events.
    #[must_use]
    pub fn facts(&self) -> broadcast::Receiver<Facts> {
        self.facts.subscribe()
    }

    /// Becomes `Some`, with the reason, when the log holds what this binary cannot read.
    #[must_use]
    pub fn broken(&self) -> watch::Receiver<Option<String>> {
        self.broken.subscribe()
    }

    /// The jobs that the scheduler must look at.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Waits until agents must be told something, and returns whose. For one caller: what it gets nobody else gets.
    pub async fn changed_nodes(&self) -> BTreeSet<NodeId> {
        loop {
            let changed = std::mem::take(&mut *self.nodes.lock().unwrap_or_else(PoisonError::into_inner));
            if !changed.is_empty() {
                return changed;
            }
            self.nodes_wake.notified().await;
        }
    }

    pub(super) fn break_off(&self, reason: String) {
        self.broken.send_replace(Some(reason));
    }

    /// Makes a state the newest snapshot, then wakes who watches: whoever is woken finds what woke it.
    pub(super) fn publish(&self, state: &State, changes: Changes) {
        self.state.store(Arc::new(state.clone()));
        self.tell_nodes(&changes);
        self.board.absorb(state.revision, changes.jobs, changes.gained);
        self.revision.send_if_modified(|known| {
            let changed = *known != state.revision;
            *known = state.revision;
            changed
        });
        if !changes.events.is_empty() {
            // Without followers there is nobody to tell.
            self.facts.send(changes.events.into()).ok();
        }
    }

    fn tell_nodes(&self, changes: &Changes) {
        let lost = |event: &Arc<Event>| event.subject.node.filter(|_| event.kind == EventKind::NodeLost);
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.extend(changes.nodes.iter().copied());
        // The session of a lost node must end, so that its agent registers anew and says what it has.
        nodes.extend(changes.events.iter().filter_map(lost));
        let any = !nodes.is_empty();
        drop(nodes);
        if any {
            self.nodes_wake.notify_one();
        }
    }
}
