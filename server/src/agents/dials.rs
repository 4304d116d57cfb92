//! Connections that agents dial on request: a ticket pairs the connection with whoever waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::error::{Error, Kind as ErrorKind};
use proto::ids::random_u64;
use tokio::sync::oneshot;

use crate::limits::DIALS_PENDING;

/// Those who wait for an agent to dial, each with what its connection is to be joined to. Clones are the same.
pub(super) struct Dials<T> {
    waiting: Arc<Mutex<HashMap<u64, Waiting<T>>>>,
}

struct Waiting<T> {
    wires: T,
    dialled: oneshot::Sender<()>,
}

/// The waiting side of a dial. Dropping it gives the ticket back.
pub(super) struct Dial<T> {
    pub(super) ticket: u64,
    pub(super) dialled: oneshot::Receiver<()>,
    dials: Dials<T>,
}

impl<T> Drop for Dial<T> {
    fn drop(&mut self) {
        self.dials.lock().remove(&self.ticket);
    }
}

impl<T> Clone for Dials<T> {
    fn clone(&self) -> Self {
        Self { waiting: self.waiting.clone() }
    }
}

impl<T> Default for Dials<T> {
    fn default() -> Self {
        Self { waiting: Arc::default() }
    }
}

impl<T> Dials<T> {
    /// Issues a ticket; a random one, because it is what lets a connection in.
    ///
    /// # Errors
    /// `unavailable` when too many wait.
    pub(super) fn expect(&self, wires: T) -> Result<Dial<T>, Error> {
        let (dialled_in, dialled) = oneshot::channel();
        let ticket = random_u64();
        let mut waiting = self.lock();
        if waiting.len() >= DIALS_PENDING {
            return Err(Error::new(ErrorKind::Unavailable, "too many requests wait for agents to answer"));
        }
        waiting.insert(ticket, Waiting { wires, dialled: dialled_in });
        drop(waiting);
        Ok(Dial { ticket, dialled, dials: self.clone() })
    }

    /// Takes what a ticket stands for, and lets who waits know; none when nobody waits with it (any more).
    pub(super) fn take(&self, ticket: u64) -> Option<T> {
        let Waiting { wires, dialled } = self.lock().remove(&ticket)?;
        dialled.send(()).ok().map(|()| wires)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Waiting<T>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_and_as_long_as_somebody_waits() {
        let dials = Dials::default();
        let dial = dials.expect("wires").expect("a ticket");
        assert_eq!(dials.take(dial.ticket.wrapping_add(1)), None, "a guess");
        assert_eq!((dials.take(dial.ticket), dials.take(dial.ticket)), (Some("wires"), None));
        let gone = dials.expect("wires").expect("a ticket");
        let ticket = gone.ticket;
        drop(gone);
        assert_eq!(dials.take(ticket), None);
    }

    #[test]
    fn those_who_wait_are_bounded() {
        let dials = Dials::default();
        let all: Vec<_> = (0..DIALS_PENDING).map(|_| dials.expect(()).expect("there is room")).collect();
        assert_eq!(dials.expect(()).err().map(|error| error.kind), Some(ErrorKind::Unavailable));
        drop(all);
        assert!(dials.expect(()).is_ok());
    }
}
