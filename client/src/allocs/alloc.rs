//! The actor of one allocation. It alone owns the record; everything that happens to the allocation passes through here, one
//! event after another.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use proto::ids::AllocId;
use proto::model::AllocStatus;
use proto::time::BootTime;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::outbox::Outbox;
use super::view::View;
use crate::clock::Clock;
use crate::core::alloc_status::alloc_state;
use crate::core::lifecycle::{self, has_ended};
use crate::core::spec::Spec;
use crate::core::task_machine::{self, AttemptEnd, Effect, Now, Phase, Rules, TaskEvent};
use crate::limits::ALLOC_INBOX;
use crate::store::record::Record;
use crate::tasks::perform::Context;

/// What an allocation can be told.
#[derive(Debug)]
pub enum Message {
    /// Something happened to a task.
    Task(String, TaskEvent),
    /// End it.
    Stop,
    /// Take over what may change while it runs.
    Update(Box<Spec>),
    /// Servers stand behind a heartbeat that was sent then: its fence holds on from there.
    Confirmed(BootTime),
    /// Servers know its end.
    Release,
    /// Remove all of it; the actor ends.
    Remove,
}

/// What all allocations of this agent share.
pub struct Shared {
    /// What tasks need.
    pub tasks: Arc<Context>,
    /// Where statuses go.
    pub outbox: Arc<Outbox>,
    /// Where time comes from.
    pub clock: Clock,
    /// False while nothing may start: after a reboot, until servers have said what they want.
    pub may_start: watch::Receiver<bool>,
    /// Ends all actors, and no task.
    pub token: CancellationToken,
    /// Knows when all actors have ended.
    pub tracker: TaskTracker,
}

impl Shared {
    fn now(&self) -> Now {
        Now { boot: self.clock.boot(), wall: self.clock.wall() }
    }
}

/// Reaches one allocation.
#[derive(Clone, Debug)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    view: watch::Receiver<View>,
}

impl Handle {
    /// Sends a message; waits while the allocation is busy. To one that is gone it means nothing any more.
    pub async fn send(&self, message: Message) {
        let _ = self.inbox.send(message).await;
    }

    /// The latest of it.
    #[must_use]
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// The latest of it as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// Returns how long it may run without word from the servers; none when it has ended, or may for ever.
    #[must_use]
    pub fn fence(&self) -> Option<Duration> {
        let view = self.view.borrow();
        view.spec.fence.filter(|_| !view.status.state.has_ended()).map(|fence| fence.after)
    }

    /// Waits until it has ended. Cancel safe.
    pub async fn ended(&self) {
        let mut view = self.view.clone();
        let _ = view.wait_for(|view| view.status.state.has_ended()).await;
    }
}

/// Work whose outcome is an event of a task, or nothing.
pub(super) type Work = BoxFuture<'static, Option<(String, TaskEvent)>>;

/// The actor.
pub(super) struct Alloc {
    pub(super) shared: Arc<Shared>,
    pub(super) record: Record,
    /// The spec of the record, shared with what runs beside.
    pub(super) spec: Arc<Spec>,
    /// Grows with every status.
    seq: u64,
    pub(super) reported: Option<AllocStatus>,
    inbox: mpsc::Receiver<Message>,
    pub(super) view: watch::Sender<View>,
    pub(super) work: FuturesUnordered<Work>,
    pub(super) timers: BTreeMap<String, BootTime>,
    /// Starts under way, each with the means to call them off.
    pub(super) starting: BTreeMap<String, CancellationToken>,
    /// Starts that wait until anything may start.
    pub(super) held_back: BTreeMap<String, u32>,
    /// The last heartbeat that servers stand behind, as far as this agent process knows; of an allocation with a fence.
    pub(super) confirmed: Option<BootTime>,
    /// Starts that wait for such a heartbeat.
    pub(super) unfenced: BTreeMap<String, u32>,
    /// Effects that wait until the record is on disk, each since when, and when that is tried again.
    pub(super) unsaved: Vec<(String, Effect, BootTime)>,
    /// The last start of each task that waited for that in vain.
    pub(super) given_up: BTreeMap<String, u32>,
    pub(super) save_again_at: Option<BootTime>,
    /// Whether the course has changed since the record was saved last.
    pub(super) course_is_new: bool,
    /// When to look again whose turn it is.
    look_at: Option<BootTime>,
}

/// Begins the actor of an allocation; `events` happen to its tasks first.
pub fn spawn(shared: Arc<Shared>, record: Record, events: Vec<(String, TaskEvent)>) -> Handle {
    let (sender, inbox) = mpsc::channel(ALLOC_INBOX);
    let spec = Arc::new(record.spec.clone());
    let seen = AllocStatus { id: record.id, seq: 0, state: record.state, tasks: Vec::new() };
    let (view, watched) = watch::channel(View {
        incarnation: record.incarnation,
        spec: spec.clone(),
        status: seen,
        running: BTreeMap::new(),
        released_at: record.released_at,
    });
    let mut alloc = Alloc {
        shared,
        record,
        spec,
        seq: 0,
        reported: None,
        inbox,
        view,
        work: FuturesUnordered::new(),
        timers: BTreeMap::new(),
        starting: BTreeMap::new(),
        held_back: BTreeMap::new(),
        confirmed: None,
        unfenced: BTreeMap::new(),
        unsaved: Vec::new(),
        given_up: BTreeMap::new(),
        save_again_at: None,
        course_is_new: false,
        look_at: None,
    };
    // The first status is there before anybody can ask for it.
    alloc.report();
    let tracker = alloc.shared.tracker.clone();
    tracker.spawn(alloc.run(events));
    Handle { inbox: sender, view: watched }
}

impl Alloc {
    async fn run(mut self, events: Vec<(String, TaskEvent)>) {
        let shared = self.shared.clone();
        let mut may_start = shared.may_start.clone();
        self.happen(events).await;
        loop {
            let own = [self.save_again_at, self.look_at].into_iter().flatten();
            let wake_at = self.timers.values().copied().chain(own).min();
            tokio::select! {
                // Orders come first: a stop that arrived before a timer fires must be seen before it.
                biased;
                () = shared.token.cancelled() => return,
                message = self.inbox.recv() => match message {
                    Some(Message::Remove) => return self.remove().await,
                    Some(message) => self.handle_message(message).await,
                    None => return,
                },
                Some(outcome) = self.work.next() => self.handle_outcome(outcome).await,
                () = sleep_until(shared.clock, wake_at) => self.handle_timers().await,
                () = opened(&mut may_start), if !self.held_back.is_empty() => {
                    for (task, attempt) in std::mem::take(&mut self.held_back) {
                        self.begin_start(task, attempt);
                    }
                }
            }
        }
    }

    async fn handle_message(&mut self, message: Message) {
        match message {
            Message::Task(task, event) => self.happen(vec![(task, event)]).await,
            Message::Stop => {
                if !self.record.course.stop_ordered {
                    tracing::info!(alloc = %self.record.id, "told to stop");
                    self.record.course.stop_ordered = true;
                    self.course_is_new = true;
                }
                self.happen(Vec::new()).await;
            }
            Message::Update(newer) => {
                self.record.spec.update_in_place(&newer);
                self.spec = Arc::new(self.record.spec.clone());
                self.save().await;
                self.report();
            }
            Message::Confirmed(sent) => self.renew_fence(sent),
            Message::Release => {
                if self.record.released_at.is_none() {
                    self.record.released_at = Some(self.shared.clock.wall());
                    self.save().await;
                    self.shared.outbox.remove(self.record.id);
                    self.publish();
                }
            }
            // Handled by the loop, which it ends.
            Message::Remove => {}
        }
    }

    async fn handle_outcome(&mut self, outcome: Option<(String, TaskEvent)>) {
        let Some((task, event)) = outcome else { return };
        match &event {
            // What a stop did not find may be a start that is still under way: that answers for itself.
            TaskEvent::Unknown { .. }
                if self.starting.get(&task).is_some_and(|token| !token.is_cancelled()) =>
            {
                return;
            }
            TaskEvent::Started { .. } | TaskEvent::StartFailed { .. } | TaskEvent::Unknown { .. } => {
                self.starting.remove(&task);
            }
            _ => {}
        }
        self.happen(vec![(task, event)]).await;
    }

    async fn handle_timers(&mut self) {
        let now = self.shared.clock.boot();
        if self.save_again_at.is_some_and(|at| now >= at) {
            self.save().await;
        }
        let due: Vec<String> =
            self.timers.iter().filter(|(_, at)| now >= **at).map(|(task, _)| task.clone()).collect();
        if due.is_empty() && self.look_at.is_some_and(|at| now >= at) {
            self.happen(Vec::new()).await;
        }
        for task in due {
            self.timers.remove(&task);
            self.happen(vec![(task, TaskEvent::Timer)]).await;
        }
    }

    /// Steps tasks through events and does what follows, until nothing follows any more. Whose turn it is comes before every
    /// event: what must end by order, or because a sibling has failed, starts nothing more.
    async fn happen(&mut self, events: Vec<(String, TaskEvent)>) {
        let mut events = VecDeque::from(events);
        loop {
            let comes_first = events.front().is_some_and(|(_, event)| lifecycle::comes_first(event));
            let turns = if comes_first { Vec::new() } else { self.take_turns() };
            if turns.is_empty() {
                let Some((task, event)) = events.pop_front() else { break };
                self.step(&task, event).await;
            }
            for (task, turn) in turns {
                self.step(&task, turn).await;
            }
        }
        if self.course_is_new {
            self.save().await;
        }
        self.report();
    }

    /// Decides whose turn it is and remembers what follows from that for the allocation as a whole.
    fn take_turns(&mut self) -> Vec<(String, TaskEvent)> {
        let record = &mut self.record;
        let decision = lifecycle::decide(&self.spec.group, &record.tasks, record.course, self.shared.now());
        if decision.course.timed_out && !record.course.timed_out {
            tracing::warn!(alloc = %record.id, "has run as long as it may (max_run)");
        }
        self.course_is_new |= decision.course != record.course;
        record.course = decision.course;
        self.look_at = decision.wake_at;
        decision.turns
    }

    async fn step(&mut self, name: &str, event: TaskEvent) {
        log_event(self.record.id, name, &event);
        let (spec, timed_out) = (self.spec.clone(), self.record.course.timed_out);
        let rules = Rules::of(self.record.id, name, spec.kind, &spec.group, timed_out);
        let (Some(rules), Some(task)) = (rules, self.record.tasks.get_mut(name)) else { return };
        let (next, effects) = task_machine::step(std::mem::take(task), event, rules, self.shared.now());
        *task = next;
        for effect in effects {
            self.perform(name, effect).await;
        }
    }

    /// Tells servers when what they would see has changed.
    pub(super) fn report(&mut self) {
        let record = &mut self.record;
        record.state = alloc_state(record.state, &self.spec.group, &record.tasks, record.course);
        let now = self.shared.now();
        let restart = &self.spec.group.restart;
        let status = AllocStatus {
            id: record.id,
            seq: 0,
            state: record.state,
            tasks: record
                .tasks
                .iter()
                .map(|(name, task)| task_machine::status(name, task, restart, now))
                .collect(),
        };
        if self.reported.as_ref().is_none_or(|before| differs(before, &status)) {
            self.seq += 1;
            self.reported = Some(AllocStatus { seq: self.seq, ..status.clone() });
            if self.record.released_at.is_none() {
                self.shared.outbox.put(AllocStatus { seq: self.seq, ..status });
            }
        }
        self.publish();
        if has_ended(&self.record.tasks) {
            self.timers.clear();
            self.look_at = None;
        }
    }

    fn publish(&self) {
        let Some(status) = self.reported.clone() else { return };
        let running = |phase: Phase| matches!(phase, Phase::Running | Phase::Stopping);
        let tasks = self.record.tasks.iter().filter(|(name, task)| {
            running(task.phase) && task.pid != 0 && !self.starting.contains_key(*name)
        });
        self.view.send_replace(View {
            incarnation: self.record.incarnation,
            spec: self.spec.clone(),
            status,
            running: tasks.map(|(name, task)| (name.clone(), task.attempt)).collect(),
            released_at: self.record.released_at,
        });
    }
}

/// The end of a delay is computed anew for every status from two clocks; a millisecond of difference is no news.
fn differs(before: &AllocStatus, after: &AllocStatus) -> bool {
    use proto::model::{TaskPhase, TaskStatus};
    let same = |(a, b): (&TaskStatus, &TaskStatus)| match (&a.phase, &b.phase) {
        (TaskPhase::Backoff(_), TaskPhase::Backoff(until)) => {
            TaskStatus { phase: TaskPhase::Backoff(*until), ..a.clone() } == *b
        }
        _ => a == b,
    };
    before.state != after.state
        || before.tasks.len() != after.tasks.len()
        || !before.tasks.iter().zip(&after.tasks).all(same)
}

async fn opened(may_start: &mut watch::Receiver<bool>) {
    if may_start.wait_for(|may| *may).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn sleep_until(clock: Clock, at: Option<BootTime>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn log_event(alloc: AllocId, task: &str, event: &TaskEvent) {
    match event {
        TaskEvent::Started { attempt, pid, .. } => tracing::info!(%alloc, task, attempt, pid, "runs"),
        TaskEvent::StartFailed { attempt, reason, .. } => {
            tracing::warn!(%alloc, task, attempt, %reason, "did not start");
        }
        TaskEvent::Ended(AttemptEnd { attempt, reason, ran, .. }) => {
            tracing::info!(%alloc, task, attempt, %reason, ?ran, "ended");
        }
        TaskEvent::Unknown { attempt } => {
            tracing::warn!(%alloc, task, attempt, "the driver does not know it")
        }
        TaskEvent::Start | TaskEvent::Stop | TaskEvent::Timer => {}
    }
}
