//! Knows all allocations of this node. It alone decides about orders of servers, and remembers the newest position.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proto::ids::{AllocId, Incarnation, Revision};
use proto::model::{AllocState, AllocStatus};
use proto::time::BootTime;
use proto::wire::v1;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use super::alloc::{self, Message as ToAlloc, Shared};
use super::view::{self, View};
use super::{leftovers, reattach};
use crate::core::assignments::{self, Action, Decision, Foreign, Position, Wanted};
use crate::core::task_machine::TaskEvent;
use crate::driver::{AttemptId, Ended, Ends, Known};
use crate::limits::{MANAGER_INBOX, SAVE_RETRY, TIDY_EVERY};
use crate::store::data_dir::DataDir;
use crate::store::file::FileError;
use crate::store::gauge::Gauge;
use crate::store::position;
use crate::store::record::Record;
use crate::tasks::perform::{self, end_of};

/// The manager is gone: the agent is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is being stopped")]
pub struct Gone;

/// Why servers are not followed.
#[derive(Debug, thiserror::Error)]
pub enum GreetError {
    /// They are another cluster.
    #[error(transparent)]
    Foreign(#[from] Foreign),
}

/// What became of a message.
#[derive(Debug)]
pub enum Followed {
    /// It was followed; the next increment builds on this.
    Base(Revision),
    /// Nothing new.
    Duplicate,
    /// A complete set is needed.
    AskComplete,
    /// It is of another cluster, or came before a greeting.
    Ignored,
}

enum Message {
    Greet(Position, Option<Incarnation>, oneshot::Sender<Result<(), GreetError>>),
    Follow(Wanted, Option<Revision>, oneshot::Sender<Followed>),
    Confirmed(BootTime, oneshot::Sender<()>),
    Registration(oneshot::Sender<Registration>),
    Views(oneshot::Sender<BTreeMap<AllocId, View>>),
    Watch(AllocId, oneshot::Sender<Option<watch::Receiver<View>>>),
    StopAll(oneshot::Sender<()>),
    Swept(Sweep),
}

/// One look at what runs.
struct Sweep {
    /// What should have been running before `listed` was made: so that what starts meanwhile is not missed in it.
    expected: Vec<AttemptId>,
    listed: Vec<Known>,
}

/// What a registration says of this node's allocations.
#[derive(Clone, Debug)]
pub struct Registration {
    /// All that servers have not released, and what runs here without a record.
    pub held: Vec<v1::Held>,
    /// The newest position seen.
    pub position: Option<Position>,
}

/// Reaches the manager.
#[derive(Clone, Debug)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    leftovers: watch::Receiver<BTreeSet<AllocId>>,
    fence: watch::Receiver<Option<Duration>>,
}

impl Handle {
    /// Asks whether to follow servers that answered a registration, and remembers their position if so.
    ///
    /// # Errors
    /// Outer: the agent is being stopped. Inner: they must not be followed.
    pub async fn greet(
        &self,
        theirs: Position,
        previous: Option<Incarnation>,
    ) -> Result<Result<(), GreetError>, Gone> {
        self.ask(|reply| Message::Greet(theirs, previous, reply)).await
    }

    /// Follows a message of greeted servers; `base` is the answer to the one before it in this session.
    ///
    /// # Errors
    /// When the agent is being stopped.
    pub async fn follow(&self, wanted: Wanted, base: Option<Revision>) -> Result<Followed, Gone> {
        self.ask(|reply| Message::Follow(wanted, base, reply)).await
    }

    /// Lets the fences of all allocations hold on: servers stand behind a heartbeat that was sent then.
    ///
    /// # Errors
    /// When the agent is being stopped.
    pub async fn confirmed(&self, sent: BootTime) -> Result<(), Gone> {
        self.ask(|reply| Message::Confirmed(sent, reply)).await
    }

    /// Returns the shortest fence of what is here, as that changes; none where nothing has one.
    pub fn fence(&self) -> watch::Receiver<Option<Duration>> {
        self.fence.clone()
    }

    /// Returns what a registration says.
    ///
    /// # Errors
    /// When the agent is being stopped.
    pub async fn registration(&self) -> Result<Registration, Gone> {
        self.ask(Message::Registration).await
    }

    /// Returns the latest of every allocation.
    ///
    /// # Errors
    /// When the agent is being stopped.
    pub async fn views(&self) -> Result<BTreeMap<AllocId, View>, Gone> {
        self.ask(Message::Views).await
    }

    /// Returns the latest of one allocation as it changes; none when it is not here.
    ///
    /// # Errors
    /// When the agent is being stopped.
    pub async fn watch(&self, id: AllocId) -> Result<Option<watch::Receiver<View>>, Gone> {
        self.ask(|reply| Message::Watch(id, reply)).await
    }

    /// Ends all tasks, begins nothing new, and returns when nothing runs any more. For `dev` only: servers are not asked.
    ///
    /// # Errors
    /// When the agent is being stopped.
    pub async fn stop_all(&self) -> Result<(), Gone> {
        self.ask(Message::StopAll).await
    }

    /// Returns the allocations of which something runs here though no record says why, as that changes: it is reported and left
    /// alone.
    pub fn leftovers(&self) -> watch::Receiver<BTreeSet<AllocId>> {
        self.leftovers.clone()
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(message(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }
}

/// What the manager is made of.
pub struct Parts {
    /// For the allocations.
    pub shared: Arc<Shared>,
    /// Opens the gate of `shared.may_start`.
    pub gate: watch::Sender<bool>,
    /// Where the position is kept.
    pub dir: Arc<DataDir>,
    /// The newest position seen so far.
    pub newest: Option<Position>,
    /// This boot of the machine.
    pub boot_id: String,
    /// How much room the disk has.
    pub gauge: Gauge,
    /// How often what runs is compared with what should.
    pub sweep_every: Duration,
    /// What the records said, brought over to this boot, and what happened to each since.
    pub found: Vec<(Record, Vec<(String, TaskEvent)>)>,
    /// What ran without a record.
    pub leftovers: BTreeSet<AllocId>,
}

pub(super) struct Manager {
    pub(super) shared: Arc<Shared>,
    gate: watch::Sender<bool>,
    dir: Arc<DataDir>,
    newest: Option<Position>,
    /// Whether the disk has `newest`.
    durable: watch::Sender<bool>,
    /// Reported as absent once `newest` is durable. At most what servers assign to this node while the disk refuses.
    absent: BTreeSet<AllocId>,
    boot_id: String,
    pub(super) gauge: Gauge,
    sweep_every: Duration,
    /// Ended allocations that lost their logs to others and whose record is still needed.
    pub(super) cleared: BTreeSet<AllocId>,
    pub(super) allocs: BTreeMap<AllocId, alloc::Handle>,
    /// What ran without a record when that was looked at last. At most what the driver holds.
    leftovers: watch::Sender<BTreeSet<AllocId>>,
    /// The shortest fence of what has not ended.
    pub(super) fence: watch::Sender<Option<Duration>>,
    /// The last heartbeat that servers stand behind.
    pub(super) confirmed: Option<BootTime>,
    inbox: mpsc::Receiver<Message>,
    /// For what comes back from work beside; weak, so that the last handle that goes ends the manager.
    own: mpsc::WeakSender<Message>,
    is_closing: bool,
}

/// Begins the manager and the actors of all that was found.
pub fn spawn(parts: Parts, ends: Ends) -> Handle {
    let (sender, inbox) = mpsc::channel(MANAGER_INBOX);
    let Parts { shared, gate, dir, newest, boot_id, gauge, sweep_every, found, leftovers } = parts;
    let allocs = found
        .into_iter()
        .map(|(record, events)| (record.id, alloc::spawn(shared.clone(), record, events)))
        .collect();
    let own = sender.downgrade();
    let (leftovers, watched) = watch::channel(leftovers);
    let (fence, shortest) = watch::channel(None);
    let manager = Manager {
        fence,
        confirmed: None,
        shared,
        gate,
        dir,
        newest,
        durable: watch::Sender::new(true),
        absent: BTreeSet::new(),
        boot_id,
        gauge,
        sweep_every,
        cleared: BTreeSet::new(),
        allocs,
        leftovers,
        inbox,
        own,
        is_closing: false,
    };
    let tracker = manager.shared.tracker.clone();
    manager.note_fences();
    tracker.spawn(manager.run(ends));
    Handle { inbox: sender, leftovers: watched, fence: shortest }
}

impl Manager {
    async fn run(mut self, mut ends: Ends) {
        let token = self.shared.token.clone();
        let mut sweep = tokio::time::interval(self.sweep_every);
        let mut tidy = tokio::time::interval(TIDY_EVERY);
        let mut save = tokio::time::interval(SAVE_RETRY);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut driver_lives = true;
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                message = self.inbox.recv() => match message {
                    Some(message) => self.handle_message(message).await,
                    None => return,
                },
                ended = ends.next(), if driver_lives => match ended {
                    Some(ended) => self.hand_on(ended).await,
                    None => driver_lives = false,
                },
                _ = sweep.tick() => self.begin_sweep(),
                _ = tidy.tick() => self.tidy().await,
                _ = save.tick() => self.save().await,
            }
        }
    }

    async fn handle_message(&mut self, message: Message) {
        // Whoever asked may have gone meanwhile; what was done stays done.
        match message {
            Message::Greet(theirs, previous, reply) => {
                let _ = reply.send(self.greet(theirs, previous).await);
            }
            Message::Follow(wanted, base, reply) => {
                let _ = reply.send(self.follow(wanted, base).await);
            }
            Message::Confirmed(sent, reply) => {
                self.renew_fences(sent).await;
                let _ = reply.send(());
            }
            Message::Registration(reply) => {
                let held = self.allocs.values().map(alloc::Handle::view);
                let held = held.filter(|view| view.released_at.is_none()).map(|view| view.to_wire());
                let leftovers = self.leftovers.borrow().clone();
                let left = leftovers.into_iter().filter(|id| !self.allocs.contains_key(id));
                let held = held.chain(left.map(view::leftover_to_wire));
                let _ = reply.send(Registration { held: held.collect(), position: self.newest });
            }
            Message::Views(reply) => {
                let _ = reply.send(self.allocs.iter().map(|(id, one)| (*id, one.view())).collect());
            }
            Message::Watch(id, reply) => {
                let _ = reply.send(self.allocs.get(&id).map(alloc::Handle::watch));
            }
            Message::Swept(sweep) => self.compare(sweep).await,
            Message::StopAll(reply) => {
                self.is_closing = true;
                let all: Vec<_> = self.allocs.values().cloned().collect();
                self.spawn_beside(async move {
                    for one in &all {
                        one.send(ToAlloc::Stop).await;
                    }
                    for one in &all {
                        one.ended().await;
                    }
                    let _ = reply.send(());
                });
            }
        }
    }

    async fn greet(&mut self, theirs: Position, previous: Option<Incarnation>) -> Result<(), GreetError> {
        let position = assignments::greet(self.newest, theirs, previous)?;
        self.remember(position).await;
        Ok(())
    }

    async fn follow(&mut self, wanted: Wanted, base: Option<Revision>) -> Followed {
        let Some(newest) = self.newest else { return Followed::Ignored };
        let (position, completes) = (wanted.position, wanted.completes());
        let named = wanted.orders.keys().chain(&wanted.released);
        let held = named
            .filter_map(|id| self.allocs.get(id).map(|one| (*id, one.view().held())))
            .collect::<BTreeMap<_, _>>();
        let actions = match assignments::decide(newest, base, &held, wanted) {
            Decision::Follow(actions) => actions,
            Decision::Duplicate => return Followed::Duplicate,
            Decision::AskComplete => return Followed::AskComplete,
            Decision::Ignore => return Followed::Ignored,
        };
        // First the position, then what must end by it: see `store::position`. What begins need not wait for the disk. While
        // the disk refuses, what must end ends all the same: see `remember`.
        let stops = |action: &Action| matches!(action, Action::Stop(_) | Action::ReportAbsent(_));
        let (after, before): (Vec<_>, Vec<_>) = actions.into_iter().partition(stops);
        for action in before {
            self.act(action, position.incarnation).await;
        }
        self.remember(position).await;
        for action in after {
            self.act(action, position.incarnation).await;
        }
        if completes {
            self.gate.send_replace(true);
        }
        self.note_fences();
        Followed::Base(position.revision)
    }

    /// Makes a position the newest, on disk if the disk takes it.
    ///
    /// A disk that refuses, which may be full for hours, must not keep orders to end from being obeyed: the position then
    /// counts from memory. What a death meanwhile could cost is the order of an older server being taken for new; so nobody
    /// is told that an allocation without a record is stopped before its order is durable.
    async fn remember(&mut self, position: Position) {
        if self.newest == Some(position) {
            return;
        }
        self.newest = Some(position);
        self.write(position).await;
    }

    /// Tries again what the disk refused.
    async fn save(&mut self) {
        if let Some(newest) = self.newest.filter(|_| !*self.durable.borrow()) {
            self.write(newest).await;
        }
    }

    async fn write(&mut self, position: Position) {
        let dir = self.dir.clone();
        let saved = self.shared.tracker.spawn_blocking(move || position::save(&dir, position)).await;
        let saved = saved.unwrap_or_else(|error| {
            let source = std::io::Error::other(error);
            Err(FileError::Write { path: self.dir.root().join("position"), source })
        });
        let was_durable = self.durable.send_replace(saved.is_ok());
        match saved {
            Ok(()) if was_durable => {}
            Ok(()) => {
                self.absent.clear();
                tracing::info!("the position of the servers is on disk again");
            }
            Err(error) if was_durable => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "cannot remember the position of the servers; followed all the same");
            }
            Err(_) => {}
        }
    }

    async fn act(&mut self, action: Action, incarnation: Incarnation) {
        match action {
            Action::Start(id, _) if self.is_closing => tracing::debug!(alloc = %id, "not begun: closing"),
            Action::Start(id, spec) => {
                tracing::info!(alloc = %id, job = spec.job, group = spec.group_name, "assigned");
                let record = Record::new(id, incarnation, *spec, self.boot_id.clone());
                let fenced = record.spec.fence.is_some();
                let one = alloc::spawn(self.shared.clone(), record, Vec::new());
                if let Some(sent) = self.confirmed.filter(|_| fenced) {
                    one.send(ToAlloc::Confirmed(sent)).await;
                }
                self.allocs.insert(id, one);
            }
            Action::Update(id, spec) => self.tell(id, ToAlloc::Update(spec)).await,
            Action::Stop(id) => self.tell(id, ToAlloc::Stop).await,
            Action::Release(id) => self.tell(id, ToAlloc::Release).await,
            Action::ReportAbsent(id) => {
                let is_known = !*self.durable.borrow() && !self.absent.insert(id);
                if !is_known {
                    self.spawn_beside(leftovers::end_of(self.shared.clone(), id, self.durable.subscribe()));
                }
            }
            Action::ReportUnreadable(id, fault) => {
                tracing::error!(alloc = %id, error = %fault, "cannot read what to run: is this agent too old?");
                let status = AllocStatus { id, seq: 1, state: AllocState::Failed, tasks: Vec::new() };
                self.shared.outbox.put(status);
            }
            Action::KeepConflicting(id) => {
                tracing::error!(alloc = %id, "servers use the number of something else that runs here; it goes on");
            }
        }
    }

    /// Runs work that ends with the agent at the latest.
    fn spawn_beside(&self, work: impl Future<Output = ()> + Send + 'static) {
        let token = self.shared.token.clone();
        self.shared.tracker.spawn(async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = work => {}
            }
        });
    }

    async fn tell(&self, id: AllocId, message: ToAlloc) {
        if let Some(one) = self.allocs.get(&id) {
            one.send(message).await;
        }
    }

    async fn hand_on(&self, ended: Ended) {
        let id = ended.id.clone();
        if ended.dropped_bytes > 0 {
            tracing::warn!(attempt = %id, bytes = ended.dropped_bytes, "output did not get where it should");
        }
        match self.allocs.get(&AllocId(id.alloc)) {
            Some(one) => one.send(ToAlloc::Task(id.task, TaskEvent::Ended(end_of(ended)))).await,
            None => {
                tracing::warn!(attempt = %id, "ended, and no record says what it was");
                self.spawn_beside(perform::forget(self.shared.tasks.clone(), id));
            }
        }
    }

    /// Looks at what the driver runs, beside; see [`Self::compare`].
    fn begin_sweep(&self) {
        let Some(own) = self.own.upgrade() else { return };
        let expected = self.allocs.iter().flat_map(|(id, one)| {
            let running = one.view().running;
            running.into_iter().map(|(task, attempt)| perform::attempt_id(*id, &task, attempt))
        });
        let expected = expected.collect();
        let driver = self.shared.tasks.driver.clone();
        self.spawn_beside(async move {
            if let Ok(listed) = driver.list().await {
                let _ = own.send(Message::Swept(Sweep { expected, listed })).await;
            }
        });
    }

    /// Compares what runs with what should: what is lost is told to its allocation, what nobody asked for is reported and
    /// left alone.
    async fn compare(&mut self, sweep: Sweep) {
        let found = reattach::leftovers(&sweep.listed, |id| self.allocs.contains_key(&id));
        self.leftovers.send_if_modified(|known| {
            let is_new = *known != found;
            *known = found;
            is_new
        });
        for id in sweep.expected {
            if !sweep.listed.iter().any(|known| known.id == id) {
                let lost = TaskEvent::Unknown { attempt: id.attempt };
                self.tell(AllocId(id.alloc), ToAlloc::Task(id.task, lost)).await;
            }
        }
    }
}
