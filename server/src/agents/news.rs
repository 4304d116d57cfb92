//! What a session has not looked at yet: what was touched of its node, and the snapshot that shows it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::core::state::{State, Touched};

/// News of one node. Whoever reads late reads once: what was touched meanwhile, by the newest snapshot.
#[derive(Default)]
pub(super) struct News {
    pending: Mutex<Option<(Touched, Arc<State>)>>,
    wake: Notify,
}

impl News {
    /// Adds what was touched until that snapshot, which is newer than the ones before.
    pub(super) fn add(&self, touched: Touched, state: &Arc<State>) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *pending {
            Some((known, newest)) => {
                known.absorb(touched);
                newest.clone_from(state);
            }
            None => *pending = Some((touched, state.clone())),
        }
        drop(pending);
        self.wake.notify_one();
    }

    /// Waits until there are news and takes them. For one caller.
    pub(super) async fn taken(&self) -> (Touched, Arc<State>) {
        loop {
            let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(news) = pending {
                return news;
            }
            self.wake.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::ids::{AllocId, Revision};

    use super::*;

    fn at(revision: u64) -> Arc<State> {
        Arc::new(State { revision: Revision(revision), ..State::default() })
    }

    #[tokio::test]
    async fn what_is_read_late_is_read_once_by_the_newest_snapshot() {
        let news = News::default();
        news.add(Touched::One(AllocId(1)), &at(1));
        news.add(Touched::One(AllocId(2)), &at(2));
        let (touched, state) = news.taken().await;
        assert_eq!((touched, state.revision), (Touched::Some(vec![AllocId(1), AllocId(2)]), Revision(2)));
        let again = tokio::time::timeout(std::time::Duration::from_millis(20), news.taken()).await;
        assert!(again.is_err(), "nothing is left");
    }
}
