//! I9: a write that was acknowledged is in the final state, exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::ids::{JobKey, RequestId};
use server::core::state::{Kind, Outcome};

use crate::laws::{Step, must};
use crate::sim::{Broken, Sim};

const LAW: &str = "i9_acknowledged";

/// What became of every named write.
#[derive(Default)]
pub struct Acknowledged {
    outcomes: BTreeMap<RequestId, Outcome>,
}

impl Acknowledged {
    /// A write that comes again is answered alike and changes nothing.
    pub fn step(&mut self, step: &Step<'_>) -> Result<(), Broken> {
        let (id, outcome) = (step.command.request, &step.applied.outcome);
        if id.is_none() {
            return Ok(());
        }
        let Some(first) = self.outcomes.get(&id) else {
            self.outcomes.insert(id, outcome.clone());
            return Ok(());
        };
        must(LAW, first == outcome, || format!("request {id} was answered {first:?} and then {outcome:?}"))?;
        let row = |of: Option<&Arc<_>>| of.map(Arc::as_ptr);
        let unchanged = key_of(&step.command.kind)
            .is_none_or(|key| row(step.before.jobs.get(key)) == row(step.after.jobs.get(key)));
        must(LAW, unchanged, || format!("request {id} came twice and was applied twice"))
    }
}

fn key_of(kind: &Kind) -> Option<&JobKey> {
    match kind {
        Kind::PutJob { job, .. } => Some(&job.key),
        Kind::StopJob { key, .. }
        | Kind::StartJob { key }
        | Kind::ScaleJob { key, .. }
        | Kind::RevertJob { key, .. }
        | Kind::RestartJob { key, .. } => Some(key),
        _ => None,
    }
}

impl Sim {
    /// Looks for every acknowledged write.
    pub fn judge_acknowledged(&mut self) {
        let lost = self.clients.requests.iter().find_map(|request| {
            let acked = request.acked.as_ref()?;
            let committed = self.laws.acknowledged.outcomes.get(&request.id);
            let kept =
                self.state.requests.iter().find(|(id, _)| **id == request.id).map(|(_, kept)| &kept.outcome);
            let fine =
                committed == Some(acked) && kept.is_none_or(|kept| kept == acked || *kept == Outcome::Done);
            (!fine)
                .then(|| format!("request {} was answered {acked:?}; committed: {committed:?}", request.id))
        });
        if let Some(what) = lost {
            self.break_law(LAW, what);
        }
    }

    /// Everything that can only be judged when it is over.
    pub fn judge_the_end(&mut self) {
        self.judge_acknowledged();
        self.judge_servers();
    }
}
