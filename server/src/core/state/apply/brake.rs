//! The brake is pulled and let go.

use std::collections::BTreeSet;

use proto::ids::{JobKey, JobVersion, NodeId};
use proto::model::{EventKind, Severity, Subject};

use crate::core::state::events::Fact;
use crate::core::state::{Brake, Changes, Outcome, State};
use crate::limits::NODES_NAMED;

impl State {
    /// Holds what these nodes run, should they be lost. Those that are held already, and nodes that are not known, change nothing.
    pub(super) fn hold_lost(&mut self, nodes: &[NodeId], changes: &mut Changes) -> Outcome {
        let held = self.brake.as_ref().map(|brake| brake.nodes.as_slice()).unwrap_or_default();
        let more: BTreeSet<NodeId> = nodes
            .iter()
            .copied()
            .filter(|node| self.nodes.get(node).is_some() && !held.contains(node))
            .collect();
        if more.is_empty() {
            return Outcome::Done;
        }
        let mut names: Vec<&str> =
            more.iter().filter_map(|id| Some(self.nodes.get(id)?.identity.name.as_str())).collect();
        names.sort_unstable();
        let shown = names.iter().take(NODES_NAMED).copied().collect::<Vec<_>>().join(", ");
        let rest = match names.len().saturating_sub(NODES_NAMED) {
            0 => String::new(),
            rest => format!(" and {rest} more"),
        };
        let (of, of_all) = match &self.brake {
            Some(brake) => (brake.of, "after these".to_owned()),
            None => (self.nodes.len(), format!("of {}", self.nodes.len())),
        };
        let said = format!(
            "{} nodes {of_all} do not answer ({shown}{rest}): what they run is not replaced for now; `minijob operator brake release` replaces it at \
             once",
            names.len()
        );
        let mut brake =
            self.brake.as_deref().cloned().unwrap_or(Brake { since: self.now, of, nodes: Vec::new() });
        brake.nodes.extend(more);
        self.brake = Some(brake.into());
        let fact = Fact::info(EventKind::MassLoss, Subject::default(), said);
        self.record(changes, fact.severity(Severity::Critical));
        Outcome::Done
    }

    /// Lets everything go on that is held. A second time changes nothing.
    pub(super) fn release_lost(&mut self, actor: &str, changes: &mut Changes) -> Outcome {
        let brake = self.brake.take();
        if let Some(brake) = &brake {
            changes.jobs.extend(self.held_jobs(brake));
            let by = if actor.is_empty() { String::new() } else { format!(", by order of {actor}") };
            let said =
                format!("what was lost with {} nodes is not held back any more{by}", brake.nodes.len());
            self.record(changes, Fact::info(EventKind::MassLossOver, Subject::default(), said));
        }
        Outcome::Written { changed: brake.is_some(), version: JobVersion(0), revision: self.at() }
    }

    /// The jobs of which something is lost with these nodes.
    fn held_jobs(&self, brake: &Brake) -> BTreeSet<JobKey> {
        let nodes = brake.nodes.iter().filter_map(|id| self.nodes.get(id));
        let allocs = nodes.flat_map(|node| &node.allocs).filter_map(|id| self.allocs.get(*id));
        allocs.filter(|alloc| alloc.lost).map(|alloc| alloc.job.as_ref().clone()).collect()
    }
}
