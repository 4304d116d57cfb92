//! A server begins to lead.

use proto::ids::{Incarnation, ServerId};
use proto::model::{EventKind, Subject};

use crate::core::state::events::Fact;
use crate::core::state::{Changes, Outcome, ReignRecord, State};

impl State {
    pub(super) fn begin_reign(
        &mut self,
        server: ServerId,
        boot_nonce: u64,
        incarnation: Incarnation,
        changes: &mut Changes,
    ) -> Outcome {
        self.incarnation.get_or_insert(incarnation);
        self.reign = Some(ReignRecord { reign: self.at(), server, boot_nonce });
        self.last_plan_seq = 0;
        changes.jobs.extend(self.jobs.iter().map(|(key, _)| key.clone()));
        let message = format!("server {server} leads");
        self.record(changes, Fact::info(EventKind::LeaderElected, Subject::default(), message));
        Outcome::Done
    }
}
