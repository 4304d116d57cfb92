//! What comes of a slot that failed, in words: the same in lists, documents and stories.

use proto::time::Timestamp;
use proto::view::Waiting;

use super::alloc::node_name;
use crate::core::scheduler::{Outlook, Shortage, advice, is_held, outlook, with_progress};
use crate::core::state::{Alloc, GroupState, JobRecord, Slot, State, Wait};

/// Nodes that one sentence names; the rest are counted.
const NODES_NAMED: usize = 3;

/// What comes of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// When, where that is known.
    pub(super) at: Option<Timestamp>,
    what: &'static str,
    how: String,
}

impl Next {
    /// Says it beside its time.
    pub(super) fn without_time(&self) -> String {
        format!("{}{}", self.what, self.how)
    }

    /// Says it with its time and without advice, for a list.
    pub(super) fn in_short(&self) -> String {
        let at = self.at.map_or(String::new(), |at| format!(" at {at}"));
        format!("{}{at}", self.what)
    }

    /// Says it with its time, if it has one.
    pub(super) fn with_time(&self) -> String {
        let at = self.at.map_or(String::new(), |at| format!(" at {at}"));
        format!("{}{at}{}", self.what, self.how)
    }
}

/// What is to be said of the slots of a group that failed, and of what waits in it.
pub(super) struct Prospect<'s> {
    state: &'s State,
    record: &'s JobRecord,
    name: &'s str,
    memory: &'s GroupState,
    per_node: bool,
    /// Only where something failed and is not given up.
    outlook: Option<Outlook>,
}

impl<'s> Prospect<'s> {
    /// Looks at a group; none when nothing is remembered of it.
    pub(super) fn of(state: &'s State, record: &'s JobRecord, name: &'s str) -> Option<Self> {
        let memory = record.group(name)?;
        let due = memory.failed.values().any(|slot| slot.due.is_some());
        let per_node = record.current().job.groups.get(name).is_some_and(|group| group.kind.is_per_node());
        let outlook = (due && !record.stopped).then(|| match per_node {
            // Where the next one goes is no question.
            true => Outlook::Open,
            false => outlook(state, record, name),
        });
        Some(Self { state, record, name, memory, per_node, outlook })
    }

    /// Says what comes of a slot that failed.
    pub(super) fn next(&self, index: u32, slot: &Slot) -> Next {
        let job = &self.record.key;
        let (at, what, how) = match (slot.due, &self.outlook) {
            (None, _) => {
                let name = format!("{}.{}.{index}", job.name, self.name);
                let how = format!(": once the cause is gone, `minijob restart {name}`");
                (None, "not tried again", how)
            }
            (Some(_), _) if self.per_node && self.memory.avoid.contains(&slot.node) => {
                let how = format!(
                    ": {}; mend the cause, then `minijob restart {job}`, or run the mended file",
                    self.left_out()
                );
                (None, "not tried again", how)
            }
            (Some(_), Some(Outlook::LeftOut)) => {
                let how = format!(
                    ": {}, and there is no other node; mend the cause, then `minijob restart {job}`, or run the mended file",
                    self.left_out()
                );
                (None, "not tried again", how)
            }
            (Some(_), Some(Outlook::Full(why))) => {
                (None, "placed anew", format!(" as soon as a node can take it: {why}"))
            }
            (due, _) if self.memory.avoid.contains(&slot.node) => {
                (due, "placed anew", format!(" on another node: {}", self.left_out()))
            }
            (due, _) => (due, "placed anew", String::new()),
        };
        Next { at, what, how }
    }

    /// Returns when servers next place something of it anew.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        let open = matches!(self.outlook, Some(Outlook::Open));
        let is_tried = |slot: &&Slot| !(self.per_node && self.memory.avoid.contains(&slot.node));
        self.memory.failed.values().filter(is_tried).filter_map(|slot| slot.due).min().filter(|_| open)
    }

    /// Returns the same with what would help. Cost: one look at every node where anything waits.
    pub(super) fn waiting_advised(&self) -> Option<Waiting> {
        let waiting = self.waiting()?;
        Some(Waiting { advice: advice(self.state, self.record, self.name), ..waiting })
    }

    /// Returns what waits for a place, what failed and will find none included. What no node may start does not wait: it is told
    /// with its failure.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        let failed = self.memory.failed.values().filter(|slot| slot.due.is_some()).count();
        match (&self.memory.wait, &self.outlook) {
            (_, Some(Outlook::LeftOut)) => None,
            (None, Some(Outlook::Full(why))) => {
                let count = u32::try_from(failed).unwrap_or(u32::MAX);
                Some(Waiting { count, why: why.clone(), advice: String::new() })
            }
            (wait, _) => wait.as_ref().map(|wait| waiting(self.state, self.record, self.name, wait)),
        }
    }

    /// Returns whether something of it waits for other work, not for a node.
    pub(super) fn is_held(&self) -> bool {
        self.memory.wait.is_some() && is_held(self.state, self.record, self.name)
    }

    /// `n1 is left out for this version`.
    fn left_out(&self) -> String {
        let known = self.memory.avoid.iter().filter(|id| self.state.nodes.get(id).is_some());
        let mut names: Vec<String> = known.map(|id| node_name(self.state, *id).into_owned()).collect();
        names.sort_unstable();
        let verb = if names.len() == 1 { "is" } else { "are" };
        let more = names.len().saturating_sub(NODES_NAMED);
        names.truncate(NODES_NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("{}{more} {verb} left out for this version", names.join(", "))
    }
}

/// Says what waits and why, with how far what it waits for is.
pub(super) fn waiting(state: &State, record: &JobRecord, group: &str, wait: &Wait) -> Waiting {
    let why = with_progress(state, record, group, &wait.why);
    Waiting { count: wait.count, why, advice: String::new() }
}

/// Shows what has no place.
pub(super) fn short(shortage: Shortage) -> Waiting {
    let Shortage { count, why, advice } = shortage;
    Waiting { count, why, advice }
}

/// Says what comes after an allocation that failed, with the time; empty where it did not fail, or something has come since.
pub(super) fn after(alloc: &Alloc, prospect: Option<&Prospect<'_>>) -> String {
    let slot = prospect.and_then(|prospect| {
        let slot = prospect.memory.failed.get(&alloc.index).filter(|slot| slot.last == alloc.id)?;
        Some((prospect, slot)).filter(|_| !prospect.record.stopped)
    });
    slot.map_or(String::new(), |(prospect, slot)| prospect.next(alloc.index, slot).with_time())
}
