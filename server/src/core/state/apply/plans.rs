//! A decision of the scheduler becomes allocations, if it still fits.
//!
//! The scheduler decided on a snapshot; others wrote since. So every run is compared with the totals that apply keeps anyway,
//! and refused alone: the rest of the plan stands.

use std::ops::Range;
use std::sync::Arc;

use proto::error::Kind as ErrorKind;
use proto::ids::{AllocId, JobVersion};
use proto::model::{AllocState, Desired, EventKind, Group, Severity, StopReason, Subject, SubjectJob};

use super::room::{count_in, pick_ports};
use crate::core::state::events::Fact;
use crate::core::state::{
    Alloc, Changes, JobRecord, Outcome, PlaceReason, Plan, PlanItem, PlanRun, PlanStop, PlanUpdate, PlanWait,
    Refusal, RefusedRun, State, VersionRecord, Wait,
};

impl State {
    pub(super) fn apply_plan(&mut self, plan: Plan, changes: &mut Changes) -> Outcome {
        let reign = self.reign.map(|record| record.reign);
        if reign != Some(plan.reign) || plan.seq <= self.last_plan_seq {
            let message = format!("plan {} of reign {} is out of date", plan.seq, plan.reign);
            return Outcome::Refused(Refusal::new(ErrorKind::Conflict, message));
        }
        self.last_plan_seq = plan.seq;
        for stop in &plan.stops {
            self.order_stop(stop, changes);
        }
        for update in &plan.updates {
            self.take_over(update, changes);
        }
        let mut refused = Vec::new();
        for item in &plan.items {
            for run in &item.runs {
                if let Err(why) = self.apply_run(item, run, changes) {
                    changes.jobs.insert(item.job.clone());
                    refused.push(RefusedRun {
                        job: item.job.clone(),
                        group: item.group.clone(),
                        run: *run,
                        why,
                    });
                }
            }
        }
        for wait in plan.waits {
            self.apply_wait(wait, changes);
        }
        Outcome::Planned { refused }
    }

    /// Places one run, or says why it does not fit any more and changes nothing.
    fn apply_run(
        &mut self,
        item: &PlanItem,
        run: &PlanRun,
        changes: &mut Changes,
    ) -> Result<(), &'static str> {
        let record = self.jobs.get(&item.job).ok_or("job is gone")?;
        let version = record.current().clone();
        if record.stopped {
            return Err("job is stopped");
        }
        if version.version != item.version {
            return Err("version is stale");
        }
        let group = version.job.groups.get(&item.group).ok_or("group is gone")?;
        let node = self.nodes.get(&run.node).ok_or("node is gone")?;
        if node.generation != run.generation {
            return Err("generation changed");
        }
        if !node.takes_work() {
            return Err("node takes no work");
        }
        let slots = run.first_index..run.first_index.saturating_add(run.count);
        let filled = record.filled.get(item.group.as_str());
        let is_filled = |index: &u32| filled.is_some_and(|slots| slots.contains_key(index));
        let moving = match slots.clone().any(|index| is_filled(&index)) {
            false => 0,
            true => self.moving(record, &item.group, group, slots.clone())?,
        };
        let remembered = record.group(&item.group);
        let may_begin = |index: u32| remembered.is_none_or(|group| group.may_begin(index, self.now));
        if !slots.clone().all(may_begin) {
            return Err("slot is done or has failed");
        }
        if let Some(what) = self.no_room(run.node, group, run.count) {
            return Err(what);
        }
        if group.kind.is_per_node() {
            let accepts = remembered.is_none_or(|group| group.node_slots.accepts(run.node, run.first_index));
            if run.count != 1 || !accepts {
                return Err("slot is another node's");
            }
        } else if filled.map_or(0, imbl::OrdMap::len) + run.count as usize > group.count as usize + moving {
            // Something that was lost when the decision was made is back, in a slot of its own.
            return Err("group is full");
        }
        for index in slots {
            self.place(item, &version, run, index, changes);
        }
        Ok(())
    }

    /// Counts the slots of a run that are filled by what moves off a drained node; says why it may not, or what fills the slot
    /// is not told to move at all.
    fn moving(
        &self,
        record: &JobRecord,
        name: &str,
        group: &Group,
        mut slots: Range<u32>,
    ) -> Result<usize, &'static str> {
        let fillers = slots.clone().filter_map(|index| record.filler_of(name, index));
        let fillers: Vec<&Alloc> = fillers.filter_map(|id| self.allocs.get(id)).collect();
        let may_move = |alloc: &&Alloc| alloc.is_active() && self.nodes.is_draining(alloc.node);
        if group.kind.is_per_node() || !fillers.iter().all(may_move) {
            return Err("slot is filled");
        }
        if slots.any(|index| record.leaving_of(name, index).is_some()) {
            return Err("slot moves already");
        }
        let leaving = record.leaving.get(name).map_or(0, imbl::OrdMap::len);
        if leaving + fillers.len() > group.migrate.max_parallel as usize {
            return Err("too many move at once");
        }
        Ok(fillers.len())
    }

    fn place(
        &mut self,
        item: &PlanItem,
        version: &VersionRecord,
        run: &PlanRun,
        index: u32,
        changes: &mut Changes,
    ) {
        let Some(group) = version.job.groups.get(&item.group) else { return };
        let Some(mut node) = self.nodes.get_mut(&run.node) else { return };
        // `no_room` has counted the ports, so none is missing here.
        let Some(ports) = pick_ports(&mut node, &group.ports) else { return };
        let id = AllocId(self.next_id);
        self.next_id += 1;
        node.allocs.insert(id);
        let (resources, fence) = (group.resources(), group.fence(self.settings.node_timeout));
        count_in(&mut node, resources, &ports);
        let identity = node.identity.clone();
        drop(node);
        let (previous, replacements) = self.begin_slot(&item.job, &item.group, index);
        let Some(record) = self.jobs.get_mut(&item.job) else { return };
        record.live.insert(id);
        record.completion_announced = false;
        if group.kind.is_per_node() {
            record.groups.entry(item.group.clone()).or_default().node_slots.give(run.node, index);
        }
        let (job, group) = (record.key.clone(), record.group_name(&item.group));
        let alloc = Alloc {
            id,
            job,
            version: version.version,
            work: version.work.get(&item.group).copied().unwrap_or(version.version),
            group,
            index,
            node: run.node,
            desired: Desired::Run,
            state: AllocState::Pending,
            tasks: Arc::default(),
            reported: Default::default(),
            lost: false,
            lost_at: None,
            healthy: false,
            running_since: None,
            counted: true,
            resources,
            // An empty list of one's own would be a piece of memory for each allocation.
            ports: if ports.is_empty() { Arc::default() } else { ports.into() },
            reason: PlaceReason {
                copies: run.reason.copies.saturating_add(index - run.first_index),
                ..run.reason
            },
            created_at: self.now,
            created: self.at(),
            modified: self.at(),
            ended_at: None,
            previous,
            replacements,
            fence,
        };
        let fact = Fact::info(
            EventKind::AllocPlaced,
            subject_of(&alloc),
            format!("{} was placed on {}", alloc.name(), identity.name),
        );
        if let Some(record) = self.jobs.get_mut(&item.job) {
            record.note_slot(&alloc);
        }
        self.allocs.insert(id, alloc);
        changes.nodes.alloc(run.node, id);
        self.record(changes, fact);
    }

    pub(super) fn order_stop(&mut self, stop: &PlanStop, changes: &mut Changes) {
        let at = self.at();
        let Some(alloc) = self.allocs.get_mut(stop.alloc) else { return };
        if alloc.has_ended() || alloc.desired != Desired::Run {
            return;
        }
        alloc.desired = Desired::Stop(stop.reason);
        alloc.modified = at;
        changes.nodes.alloc(alloc.node, alloc.id);
        changes.jobs.insert(alloc.job.as_ref().clone());
        let said = format!("{} is to stop: {}", alloc.name(), stop_words(stop.reason));
        let fact =
            Fact::info(EventKind::AllocStopOrdered, subject_of(alloc), said).reason(stop_word(stop.reason));
        self.record(changes, fact);
    }

    fn take_over(&mut self, update: &PlanUpdate, changes: &mut Changes) {
        let at = self.at();
        let Some(alloc) = self.allocs.get(update.alloc) else { return };
        let known = self.jobs.get(alloc.job.as_ref()).and_then(|record| record.version(update.version));
        let same_work = known.and_then(|version| version.work.get(alloc.group.as_ref())) == Some(&alloc.work);
        if alloc.has_ended() || !same_work || alloc.version >= update.version {
            return;
        }
        if let Some(alloc) = self.allocs.get_mut(update.alloc) {
            (alloc.version, alloc.modified) = (update.version, at);
            changes.nodes.alloc(alloc.node, alloc.id);
        }
    }

    fn apply_wait(&mut self, wait: PlanWait, changes: &mut Changes) {
        let now = self.now;
        let Some(record) = self.jobs.get_mut(&wait.job) else { return };
        if record.stopped || record.current().version != wait.version {
            return;
        }
        let per_node =
            record.current().job.groups.get(&wait.group).is_some_and(|group| group.kind.is_per_node());
        let Some(group) = record.groups.get_mut(&wait.group) else { return };
        if wait.why.is_empty() {
            group.wait = None;
            return;
        }
        let known = group.wait.as_ref().is_some_and(|before| before.why == wait.why);
        let since = group.wait.as_ref().map_or(now, |before| before.since);
        group.wait = Some(Wait { count: wait.count, why: wait.why.clone(), since });
        if known {
            return;
        }
        let subject = Subject { group: Some(wait.group), ..Subject::job(&wait.job) };
        let said = match wait.count {
            0 if per_node => format!("job `{}` has no node to run on: {}", wait.job, wait.why),
            count => format!("{} of job `{}` cannot be placed: {}", plural(count), wait.job, wait.why),
        };
        let fact = Fact::info(EventKind::Unplaceable, subject, said).severity(Severity::Warning);
        self.record(changes, fact);
    }
}

/// Names an allocation in an event.
pub(super) fn subject_of(alloc: &Alloc) -> Subject {
    Subject {
        job: Some(SubjectJob { namespace: alloc.job.namespace.clone(), job: alloc.job.name.clone() }),
        group: Some(alloc.group.to_string()),
        index: Some(alloc.index),
        alloc: Some(alloc.id),
        task: None,
        node: Some(alloc.node),
        node_name: None,
    }
}

/// The word of a stop's reason, as in JSON.
pub const fn stop_word(reason: StopReason) -> &'static str {
    match reason {
        StopReason::JobStopped => "job_stopped",
        StopReason::ScaledDown => "scaled_down",
        StopReason::Replaced => "replaced",
        StopReason::NodeLost => "node_lost",
        StopReason::Restarted => "restarted",
        StopReason::NodeUnsuitable => "node_unsuitable",
        StopReason::Preempted => "preempted",
        StopReason::Drained => "drained",
        StopReason::NotMoved => "not_moved",
    }
}

const fn stop_words(reason: StopReason) -> &'static str {
    match reason {
        StopReason::JobStopped => "the job was stopped",
        StopReason::ScaledDown => "the job wants fewer",
        StopReason::Replaced => "a newer version takes its place",
        StopReason::NodeLost => "it was replaced while its node was lost",
        StopReason::Restarted => "a person asked for a restart",
        StopReason::NodeUnsuitable => "its node is not right for it any more",
        StopReason::Preempted => "work of higher priority needs its room",
        StopReason::Drained => "its node is drained",
        StopReason::NotMoved => "what it was to replace stays",
    }
}

fn plural(count: u32) -> String {
    if count == 1 { "1 allocation".to_owned() } else { format!("{count} allocations") }
}

/// Whether a version's group is the work that an allocation does.
pub(super) fn is_current_work(version: &VersionRecord, group: &str, work: JobVersion) -> bool {
    version.work.get(group) == Some(&work)
}
