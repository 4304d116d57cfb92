//! Facts: those that are kept, then as they arise.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::Stream;
use futures::stream;
use proto::error::{Error, Kind};
use proto::ids::{JobKey, NodeId, Revision};
use proto::model::Event;
use proto::view::EventList;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::{Caller, Capability, find, views};
use crate::cluster::Cluster;
use crate::core::state::State;
use crate::limits;
use crate::machine::Facts;

/// Which facts.
#[derive(Clone, Debug, Default)]
pub struct EventsQuery {
    /// Of the jobs of this namespace; empty: of all that the caller may see.
    pub namespace: String,
    /// A job's name, or a node's name or id; empty: all.
    pub subject: String,
    /// Go on with what happens from now on.
    pub follow: bool,
    /// Only what is after this revision.
    pub after: Revision,
    /// Only the most recent ones of those that are kept; 0: all.
    pub limit: usize,
}

/// Lists facts, oldest first, in lists of at most [`limits::EVENTS_PER_LIST`]; at least one list, which may be empty. Ends after
/// what is kept unless asked to follow; a follower that reads too slowly gets what is still kept and misses the rest.
///
/// # Errors
/// Forbidden; not found when the subject names neither a job nor a node.
pub fn events(
    cluster: &Cluster,
    caller: &Caller,
    query: EventsQuery,
) -> Result<impl Stream<Item = EventList> + Send + use<>, Error> {
    caller.need(Capability::Read)?;
    // Before the snapshot: what happens between the two is then in both, and told apart by its revision.
    let facts = cluster.facts();
    let state = cluster.snapshot();
    let filter = Filter::new(&state, caller, &query)?;
    let mut kept = filter.kept(&state, query.after);
    if query.limit > 0 {
        kept.drain(..kept.len().saturating_sub(query.limit));
    }
    let seen = state.revision.max(query.after);
    let follower = Follower {
        cluster: cluster.clone(),
        facts,
        filter,
        seen,
        pending: VecDeque::new(),
        follow: query.follow,
    };
    let first = into_lists(kept, &state, state.revision);
    Ok(stream::unfold((first, follower), |(mut pending, mut follower)| async move {
        if pending.is_empty() {
            pending = follower.next().await?;
        }
        let list = pending.pop_front()?;
        Some((list, (pending, follower)))
    }))
}

/// Cuts a list into messages; an empty one is one message.
fn into_lists(events: Vec<Arc<Event>>, state: &State, revision: Revision) -> VecDeque<EventList> {
    let list = |events: &[Arc<Event>]| EventList {
        items: events.iter().map(|event| views::event(state, event)).collect(),
        next: None,
        revision,
        warnings: Vec::new(),
    };
    if events.is_empty() {
        return VecDeque::from([list(&[])]);
    }
    events.chunks(limits::EVENTS_PER_LIST).map(list).collect()
}

struct Follower {
    cluster: Cluster,
    facts: Receiver<Facts>,
    filter: Filter,
    /// Everything up to this revision was given.
    seen: Revision,
    pending: VecDeque<EventList>,
    follow: bool,
}

impl Follower {
    /// Waits for facts that pass the filter; none when there will be no more.
    async fn next(&mut self) -> Option<VecDeque<EventList>> {
        if !self.follow {
            return None;
        }
        loop {
            let fresh: Vec<Arc<Event>> = match self.facts.recv().await {
                Ok(batch) => {
                    let seen = self.seen;
                    let newest = batch.iter().map(|event| event.revision).max().unwrap_or(seen);
                    self.seen = seen.max(newest);
                    let new = |event: &&Arc<Event>| event.revision > seen && self.filter.passes(event);
                    batch.iter().filter(new).cloned().collect()
                }
                Err(RecvError::Lagged(_)) => {
                    let state = self.cluster.snapshot();
                    let kept = self.filter.kept(&state, self.seen);
                    self.seen = self.seen.max(state.revision);
                    kept
                }
                Err(RecvError::Closed) => return None,
            };
            if !fresh.is_empty() {
                let state = self.cluster.snapshot();
                self.pending.extend(into_lists(fresh, &state, self.seen));
                return Some(std::mem::take(&mut self.pending));
            }
        }
    }
}

/// Which facts a caller asked for and may see.
struct Filter {
    caller: Caller,
    namespace: Option<String>,
    /// A job or a node, or two that share a name; none: all.
    subject: Option<(Option<JobKey>, Option<NodeId>)>,
}

impl Filter {
    fn new(state: &State, caller: &Caller, query: &EventsQuery) -> Result<Self, Error> {
        let namespace =
            if query.namespace.is_empty() { None } else { Some(caller.namespace(&query.namespace)?) };
        let subject = match query.subject.as_str() {
            "" => None,
            name => Some(subject(state, caller, &query.namespace, name)?),
        };
        Ok(Self { caller: caller.clone(), namespace, subject })
    }

    fn kept(&self, state: &State, after: Revision) -> Vec<Arc<Event>> {
        let passes = |event: &&Arc<Event>| event.revision > after && self.passes(event);
        let mut events: Vec<Arc<Event>> = match &self.subject {
            Some((Some(key), None)) => state.events.of_job(key).filter(passes).cloned().collect(),
            _ => state.events.all().filter(passes).cloned().collect(),
        };
        events.sort_by_key(|event| (event.revision, event.ordinal));
        events
    }

    fn passes(&self, event: &Event) -> bool {
        let job = event.subject.job.as_ref();
        let seen = match job {
            Some(job) => {
                self.caller.sees(&job.namespace)
                    && self.namespace.as_ref().is_none_or(|only| *only == job.namespace)
            }
            // What concerns no job concerns the machines, which belong to nobody's namespace.
            None => self.caller.namespace.is_none(),
        };
        let asked = self.subject.as_ref().is_none_or(|(key, node)| {
            let of_job =
                |key: &JobKey| job.is_some_and(|job| job.job == key.name && job.namespace == key.namespace);
            key.as_ref().is_some_and(of_job) || (node.is_some() && event.subject.node == *node)
        });
        seen && asked
    }
}

fn subject(
    state: &State,
    caller: &Caller,
    namespace: &str,
    name: &str,
) -> Result<(Option<JobKey>, Option<NodeId>), Error> {
    let key = JobKey::new(caller.namespace(namespace)?, name);
    let job = state.jobs.get(&key).map(|record| record.key.as_ref().clone());
    let id: Option<NodeId> = name.parse().ok();
    // A node's name may have had several holders; the newest is meant.
    let named =
        state.nodes.iter().filter(|(node, record)| record.identity.name == name || Some(**node) == id);
    let node = named.max_by_key(|(_, record)| record.registered_at).map(|(node, _)| *node);
    if job.is_none() && node.is_none() {
        let message = format!("there is no job and no node `{name}`");
        let nodes = state.nodes.iter().map(|(_, record)| record.identity.name.as_str());
        let hint = match find::nearest(name, nodes) {
            Some(node) => format!("did you mean node `{node}`?"),
            None => find::no_job(state, caller, &key).hint,
        };
        return Err(Error::new(Kind::NotFound, message).hint(hint));
    }
    Ok((job, node))
}
