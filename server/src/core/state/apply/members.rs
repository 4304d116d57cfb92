//! The cluster's CA, and members that are thrown out.

use std::sync::Arc;

use proto::error::Kind as ErrorKind;
use proto::ids::JobVersion;

use crate::core::state::{Authority, Denied, OperatorToken, Outcome, Refusal, State};
use crate::limits::DENIED_MAX;

impl State {
    /// Keeps a CA. Certificates were made by the one that is there, so another one does not take its place.
    pub(super) fn put_authority(&mut self, authority: Authority) -> Outcome {
        if self.authority.as_ref().is_some_and(|there| there.trust != authority.trust) {
            let refusal =
                Refusal::new(ErrorKind::Conflict, "the cluster has a certificate authority already");
            return Outcome::Refused(refusal);
        }
        let changed = self.authority.as_deref() != Some(&authority);
        self.authority = Some(Arc::new(authority));
        self.member_written(changed)
    }

    /// Throws a member out, or lets it in. Who need not be remembered any more is forgotten.
    pub(super) fn deny_member(&mut self, id: u64, denied: Option<Denied>) -> Outcome {
        let now = self.now;
        let remembered: imbl::OrdMap<_, _> = self
            .denied
            .iter()
            .filter(|(_, denied)| denied.until > now)
            .map(|(id, denied)| (*id, denied.clone()))
            .collect();
        let is_full = remembered.len() >= DENIED_MAX && !remembered.contains_key(&id);
        if denied.is_none() || !is_full {
            self.denied = remembered;
        }
        let changed = match denied {
            Some(_) if is_full => {
                let message = format!("{DENIED_MAX} members are shut out already");
                let refusal = Refusal::new(ErrorKind::Refused, message);
                return Outcome::Refused(refusal.hint("change the cluster's key and its CA instead"));
            }
            Some(denied) => self.denied.insert(id, denied.clone()) != Some(denied),
            None => self.denied.remove(&id).is_some(),
        };
        self.member_written(changed)
    }

    /// Keeps what lets administrators in. The first one is put by a leader that saw none, and a person may have been faster.
    pub(super) fn put_operator_token(&mut self, token: OperatorToken) -> Outcome {
        if token.first && self.operator_token.is_some() {
            return self.member_written(false);
        }
        let changed = self.operator_token.as_ref() != Some(&token);
        self.operator_token = Some(token);
        self.member_written(changed)
    }

    fn member_written(&self, changed: bool) -> Outcome {
        Outcome::Written { changed, version: JobVersion(0), revision: self.at() }
    }
}
