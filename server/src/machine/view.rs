//! What readers see: the newest snapshot, and for every watcher what changed since it last looked.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use proto::ids::Revision;
use proto::model::Event;
use tokio::sync::{Notify, broadcast, watch};

use super::Board;
use crate::core::state::{Changes, State, Touches};
use crate::limits::FACT_BATCHES_KEPT;

/// The facts of one batch of commands, in their order.
pub type Facts = Arc<[Arc<Event>]>;

/// What readers see of the state. Reading never blocks the writer.
pub struct View {
    state: ArcSwap<State>,
    revision: watch::Sender<Revision>,
    board: Board,
    touched: Mutex<Touches>,
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
            touched: Mutex::default(),
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

    /// Waits until agents must be told something, and returns whose with the snapshot that shows it: what changed until then and was
    /// not returned before is in it. For one caller: what it gets nobody else gets.
    pub async fn changed_nodes(&self) -> (Touches, Arc<State>) {
        loop {
            {
                let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
                if !touched.is_empty() {
                    return (std::mem::take(&mut *touched), self.snapshot());
                }
            }
            self.nodes_wake.notified().await;
        }
    }

    pub(super) fn break_off(&self, reason: String) {
        self.broken.send_replace(Some(reason));
    }

    /// Makes a state the newest snapshot, then wakes who watches: whoever is woken finds what woke it.
    pub(super) fn publish(&self, state: &State, changes: Changes) {
        self.show(state, changes.nodes);
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

    /// A snapshot and what it touched are shown as one: whoever takes what was touched gets a snapshot without anything else in it.
    fn show(&self, state: &State, touches: Touches) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.store(Arc::new(state.clone()));
        touched.absorb(touches);
        if !touched.is_empty() {
            self.nodes_wake.notify_one();
        }
    }
}
