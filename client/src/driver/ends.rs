//! Ends that nobody collected yet, and subscriptions to them.
//!
//! A subscription is a position in one shared, ordered list, not a queue: a slow subscriber costs nothing and misses nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{AttemptId, Ended};

/// The list. It grows with attempts that ended and were not collected, which every driver bounds.
#[derive(Debug, Clone)]
pub struct Board {
    shared: Arc<Mutex<Shared>>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Shared {
    ends: BTreeMap<u64, Ended>,
    numbers: HashMap<AttemptId, u64>,
    next: u64,
}

/// A subscription.
#[derive(Debug)]
pub struct Ends {
    shared: Arc<Mutex<Shared>>,
    newest: watch::Receiver<u64>,
    next: u64,
}

impl Default for Board {
    fn default() -> Board {
        Board { shared: Arc::default(), newest: watch::Sender::new(0) }
    }
}

impl Board {
    /// Adds an end. One that is known already is replaced and delivered again only if it differs.
    pub fn put(&self, ended: Ended) {
        let mut shared = lock(&self.shared);
        if let Some(&number) = shared.numbers.get(&ended.id) {
            if shared.ends.get(&number) == Some(&ended) {
                return;
            }
            shared.ends.remove(&number);
        }
        let number = shared.next;
        shared.next += 1;
        shared.numbers.insert(ended.id.clone(), number);
        shared.ends.insert(number, ended);
        drop(shared);
        self.newest.send_replace(number + 1);
    }

    /// Removes an end that was collected.
    pub fn remove(&self, id: &AttemptId) {
        let mut shared = lock(&self.shared);
        if let Some(number) = shared.numbers.remove(id) {
            shared.ends.remove(&number);
        }
    }

    /// Returns the end of an attempt, if it is known and not collected.
    pub fn get(&self, id: &AttemptId) -> Option<Ended> {
        let shared = lock(&self.shared);
        shared.ends.get(shared.numbers.get(id)?).cloned()
    }

    /// Subscribes, beginning with all that are there.
    pub fn subscribe(&self) -> Ends {
        Ends { shared: Arc::clone(&self.shared), newest: self.newest.subscribe(), next: 0 }
    }
}

impl Ends {
    /// Waits for the next end that is not collected; `None` when the driver is gone for good. Safe to cancel.
    pub async fn next(&mut self) -> Option<Ended> {
        loop {
            self.newest.borrow_and_update();
            if let Some(ended) = self.take() {
                return Some(ended);
            }
            self.newest.changed().await.ok()?;
        }
    }

    fn take(&mut self) -> Option<Ended> {
        let shared = lock(&self.shared);
        let (number, ended) = shared.ends.range(self.next..).next()?;
        self.next = number + 1;
        Some(ended.clone())
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Nothing in here can panic half way.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::EndCause;
    use super::*;

    fn end(attempt: u32, code: i32) -> Ended {
        Ended {
            id: AttemptId { alloc: 1, task: "web".into(), attempt },
            cause: EndCause::Exit(code),
            stopped_by_us: false,
            at_ms: 0,
            ran_ms: 0,
            tail: String::new(),
            dropped_bytes: 0,
        }
    }

    #[tokio::test]
    async fn every_subscription_sees_all_that_is_not_collected() {
        let board = Board::default();
        board.put(end(1, 0));
        board.put(end(2, 7));
        board.put(end(2, 7));
        board.remove(&end(1, 0).id);
        let (mut first, mut second) = (board.subscribe(), board.subscribe());
        assert_eq!(first.next().await, Some(end(2, 7)));
        board.put(end(3, 0));
        assert_eq!(first.next().await, Some(end(3, 0)));
        assert_eq!(second.next().await, Some(end(2, 7)));
        assert_eq!(second.next().await, Some(end(3, 0)));
        drop(board);
        assert_eq!(first.next().await, None);
    }
}
