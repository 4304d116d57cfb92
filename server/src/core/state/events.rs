//! The recent facts, kept per job and per node, so that history survives restarts and stays bounded.

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use proto::ids::{JobKey, NodeId, Revision};
use proto::model::{Event, EventKind, Severity, Subject};

use super::{Changes, State};
use crate::limits;

/// The recent facts. An event about a job is kept with the job, another with its node, the rest with the cluster.
#[derive(Clone, Debug, Default)]
pub struct EventLog {
    jobs: OrdMap<JobKey, Vector<Arc<Event>>>,
    nodes: OrdMap<NodeId, Vector<Arc<Event>>>,
    cluster: Vector<Arc<Event>>,
}

impl EventLog {
    /// Keeps an event, and forgets the oldest of the same subject beyond `most`.
    pub fn push(&mut self, event: Arc<Event>, most: usize) {
        let (ring, most) = match (event.subject.job_key(), event.subject.node) {
            (Some(key), _) if event.kind != EventKind::JobPurged => (self.jobs.entry(key).or_default(), most),
            (None, Some(node)) => (self.nodes.entry(node).or_default(), most),
            _ => (&mut self.cluster, limits::EVENTS_OF_CLUSTER),
        };
        ring.push_back(event);
        trim(ring, most);
    }

    /// Forgets the oldest events of every job and node beyond `most`.
    pub fn trim(&mut self, most: usize) {
        let jobs: Vec<JobKey> = self.jobs.keys().cloned().collect();
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        for key in &jobs {
            if let Some(ring) = self.jobs.get_mut(key) {
                trim(ring, most);
            }
        }
        for id in &nodes {
            if let Some(ring) = self.nodes.get_mut(id) {
                trim(ring, most);
            }
        }
    }

    /// Returns what is kept of a job, oldest first.
    pub fn of_job(&self, key: &JobKey) -> impl Iterator<Item = &Arc<Event>> {
        self.jobs.get(key).into_iter().flatten()
    }

    /// Returns what is kept of a node, oldest first.
    pub fn of_node(&self, node: NodeId) -> impl Iterator<Item = &Arc<Event>> {
        self.nodes.get(&node).into_iter().flatten()
    }

    /// Returns all that is kept after a revision, in order.
    #[must_use]
    pub fn after(&self, revision: Revision) -> Vec<Arc<Event>> {
        let newer = |event: &&Arc<Event>| event.revision > revision;
        let mut events: Vec<Arc<Event>> = self.all().filter(newer).cloned().collect();
        events.sort_by_key(|event| (event.revision, event.ordinal));
        events
    }

    /// Returns all that is kept, subject by subject.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.jobs.values().flatten().chain(self.nodes.values().flatten()).chain(self.cluster.iter())
    }

    /// Forgets a node's events.
    pub fn forget_node(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// Forgets a job's events.
    pub fn forget_job(&mut self, key: &JobKey) {
        self.jobs.remove(key);
    }
}

fn trim(ring: &mut Vector<Arc<Event>>, most: usize) {
    while ring.len() > most {
        ring.pop_front();
    }
}

/// A fact without its number and time; [`State::record`] adds them.
pub(super) struct Fact {
    pub(super) kind: EventKind,
    pub(super) severity: Severity,
    pub(super) subject: Subject,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) tail: String,
}

impl Fact {
    pub(super) fn info(kind: EventKind, subject: Subject, message: String) -> Self {
        Self { kind, severity: Severity::Info, subject, reason: "", message, tail: String::new() }
    }

    pub(super) fn severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    pub(super) fn reason(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }

    pub(super) fn tail(self, tail: String) -> Self {
        Self { tail, ..self }
    }
}

impl State {
    /// Numbers a fact, keeps it and tells the watchers.
    pub(super) fn record(&mut self, changes: &mut Changes, fact: Fact) {
        let event = Arc::new(Event {
            revision: self.revision,
            ordinal: u32::try_from(changes.events.len()).unwrap_or(u32::MAX),
            time: self.now,
            kind: fact.kind,
            severity: fact.severity,
            subject: fact.subject,
            reason: fact.reason.to_owned(),
            message: fact.message,
            tail: fact.tail,
        });
        self.events.push(event.clone(), self.settings.events_per_subject);
        changes.events.push(event);
    }
}
