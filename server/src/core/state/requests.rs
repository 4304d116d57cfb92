//! Writes that must not be applied twice: the result of every named write, for a while.

use std::time::Duration;

use imbl::{OrdMap, OrdSet};
use proto::error::Kind as ErrorKind;
use proto::ids::RequestId;
use proto::time::Timestamp;

use super::{Outcome, Refusal};
use crate::limits;

/// How long a result is kept: longer than any client tries again.
pub const KEPT_FOR: Duration = Duration::from_secs(15 * 60);

/// The results of recent named writes.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    results: OrdMap<RequestId, Result>,
    by_age: OrdSet<(Timestamp, RequestId)>,
}

/// What became of a named write.
#[derive(Clone, Debug)]
pub struct Result {
    /// When it was applied.
    pub at: Timestamp,
    /// Of what was asked for: the same id with another body is a mistake of the client.
    pub body_hash: u64,
    /// What it was answered.
    pub outcome: Outcome,
}

impl Requests {
    /// Returns what to answer without applying: the earlier result, a conflict, or that the table is full.
    #[must_use]
    pub fn answer(&self, id: RequestId, body_hash: u64) -> Option<Outcome> {
        if id.is_none() {
            return None;
        }
        match self.results.get(&id) {
            Some(known) if known.body_hash == body_hash => Some(known.outcome.clone()),
            Some(_) => {
                let message = format!("request id {id} was used for another request");
                Some(Outcome::Refused(Refusal::new(ErrorKind::Conflict, message)))
            }
            None if self.results.len() >= limits::REQUESTS_KEPT => {
                let message = "too many writes within 15 minutes: try again later";
                Some(Outcome::Refused(Refusal::new(ErrorKind::Unavailable, message)))
            }
            None => None,
        }
    }

    /// Keeps the result of a named write; nothing happens for one without a name.
    pub fn keep(&mut self, id: RequestId, result: Result) {
        if !id.is_none() {
            self.by_age.insert((result.at, id));
            self.results.insert(id, result);
        }
    }

    /// Forgets what is too old.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.by_age.get_min().copied() {
            if now.since(at) <= KEPT_FOR {
                return;
            }
            self.by_age.remove(&(at, id));
            self.results.remove(&id);
        }
    }

    /// Returns all that is kept.
    pub fn iter(&self) -> impl Iterator<Item = (&RequestId, &Result)> {
        self.results.iter()
    }
}
