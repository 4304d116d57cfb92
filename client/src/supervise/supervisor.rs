//! The loop: orders of the owner and changes of allocations in, steps out, until all is over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proto::ids::{AllocId, JobVersion};
use proto::model::{Job, TaskStatus};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::bell::Bell;
use super::book::Book;
use super::ports;
use super::relay::{Output, Relay};
use crate::agent::{self, Agent};
use crate::allocs::manager::{Gone, GreetError};
use crate::allocs::view::View;
use crate::core::assignments;
use crate::core::spec::Spec;
use crate::core::supervise::lines::{What, news};
use crate::core::supervise::reconcile::{Step, steps};
use crate::core::supervise::slots::{Slot, label, slots};
use crate::core::supervise::verdict::{Verdict, verdict};
use crate::driver::Driver;
use crate::limits::{
    SUPERVISE_CHANGES, SUPERVISE_DRAIN, SUPERVISE_LINES_QUEUE, SUPERVISE_OUTPUT_QUEUE, SUPERVISE_SPOOL_BYTES,
    SUPERVISE_SPOOL_FILES,
};
use crate::logs::reader::Begin;
use crate::tasks::folders::Folders;
use crate::tasks::perform::attempt_id;
use crate::tasks::user::DefaultUser;

/// What a supervisor is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it keeps everything; made when it is missing. What an earlier one left running there is taken over.
    pub data_dir: PathBuf,
    /// Whether output is kept as the files say; else only as much as waits to be passed on.
    pub keeps_output: bool,
    /// What every task is given beneath its own `env`, as it is.
    pub environment: BTreeMap<String, String>,
}

/// Why a supervisor does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The agent beneath does not.
    #[error(transparent)]
    Agent(#[from] agent::StartError),
    /// The data directory is a node's of a cluster: its allocations belong to servers.
    #[error(transparent)]
    Foreign(#[from] GreetError),
    /// It was stopped at once.
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// What its owner wants.
#[derive(Clone, Debug)]
pub enum Order {
    /// These jobs, and no others.
    Load(Vec<Job>),
    /// All ends, as each task wants to be ended.
    Stop,
    /// All ends at once.
    Kill,
    /// Critical tasks, or the only one, get a signal.
    Signal(i32),
}

/// A line about a task, or about all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What people call the task; empty: all of them.
    pub label: String,
    /// What happened, for scripts.
    pub what: What,
    /// What happened, as a sentence.
    pub text: String,
}

impl Line {
    /// A sentence that has no more to it.
    #[must_use]
    pub fn note(label: &str, text: impl Into<String>) -> Self {
        Self { label: label.to_owned(), what: What::Note, text: text.into() }
    }
}

/// Where news go. The queues are bounded; output waits, lines that find no room are counted.
#[derive(Clone, Debug)]
pub struct Sinks {
    /// What tasks print.
    pub output: mpsc::Sender<Output>,
    /// What happens to them.
    pub lines: mpsc::Sender<Line>,
}

impl Sinks {
    /// Makes both queues.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Output>, mpsc::Receiver<Line>) {
        let (output, printed) = mpsc::channel(SUPERVISE_OUTPUT_QUEUE);
        let (lines, told) = mpsc::channel(SUPERVISE_LINES_QUEUE);
        (Self { output, lines }, printed, told)
    }
}

/// The latest of an allocation.
type Change = (AllocId, View);

/// An agent that takes its orders from job files.
pub struct Supervisor {
    agent: agent::Handle,
    driver: Arc<dyn Driver>,
    config: Config,
    allocs: PathBuf,
    book: Book,
    /// Of an earlier life: their output has been passed on up to now.
    found: BTreeSet<AllocId>,
    wanted: BTreeMap<Slot, Spec>,
    version: JobVersion,
    sinks: Sinks,
    untold: u64,
    bell: Bell,
    relays: JoinSet<()>,
    watchers: JoinSet<()>,
    /// Handed to whoever watches an allocation.
    changed: mpsc::Sender<Change>,
    changes: mpsc::Receiver<Change>,
    /// The code to end with, once that is known.
    ending: Option<u8>,
    is_killing: bool,
}

impl Supervisor {
    /// Takes the data directory and what still runs from it. Waits for the driver to answer.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config, driver: Arc<dyn Driver>, sinks: Sinks) -> Result<Self, StartError> {
        let mut agent_config = agent::Config::new(config.data_dir.clone());
        // Whoever runs it is whom its tasks run as: in a container there may be no other.
        agent_config.default_user = DefaultUser::SameAsAgent;
        agent_config.allow_root = true;
        // Whoever starts it has written the files: what they may read and write, their tasks may.
        agent_config.volumes.allowed = vec![PathBuf::from("/")];
        let agent = Agent::start(agent_config, driver.clone()).await?;
        let manager = agent.manager();
        let known = manager.registration().await?;
        let found = manager.views().await?;
        let book = Book::new(known.position, found, proto::ids::random_u64());
        manager.greet(book.position(), None).await??;
        let (changed, changes) = mpsc::channel(SUPERVISE_CHANGES);
        let mut supervisor = Self {
            driver,
            allocs: config.data_dir.join("allocs"),
            config,
            found: book.ids(),
            book,
            agent,
            wanted: BTreeMap::new(),
            version: JobVersion(0),
            sinks,
            untold: 0,
            bell: Bell::new(),
            relays: JoinSet::new(),
            watchers: JoinSet::new(),
            changed,
            changes,
            ending: None,
            is_killing: false,
        };
        for id in supervisor.found.clone() {
            supervisor.follow(id).await?;
        }
        Ok(supervisor)
    }

    /// Runs the jobs until all is over, and returns the exit code. Tasks are gone then, the data directory is free.
    ///
    /// # Errors
    /// When the agent beneath is being stopped by somebody else.
    pub async fn run(mut self, jobs: &[Job], mut orders: mpsc::Receiver<Order>) -> Result<u8, Gone> {
        self.load(jobs);
        let code = loop {
            self.act().await?;
            if self.ending.is_none() && self.judge() {
                self.act().await?;
            }
            if let Some(code) = self.ending.filter(|_| !self.book.anything_lives()) {
                break code;
            }
            tokio::select! {
                Some(order) = orders.recv() => self.obey(order).await,
                Some((id, view)) = self.changes.recv() => self.note(id, view).await,
            }
        };
        // What was printed last is passed on last; a reader that does not read must not keep it from ending.
        let relays = &mut self.relays;
        let drained = async { while relays.join_next().await.is_some() {} };
        if tokio::time::timeout(SUPERVISE_DRAIN, drained).await.is_err() {
            self.tell("", "nobody reads the output; the rest of it is not shown");
        }
        self.watchers.shutdown().await;
        self.agent.stop().await;
        Ok(code)
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Load(_) if self.ending.is_some() => {}
            Order::Load(jobs) => self.load(&jobs),
            Order::Stop => self.end(0),
            Order::Kill => {
                self.end(0);
                self.is_killing = true;
                self.kill().await;
            }
            Order::Signal(signal) => self.signal(signal).await,
        }
    }

    /// Takes what the jobs ask for as what is wanted.
    fn load(&mut self, jobs: &[Job]) {
        self.version = self.version.next();
        let mut wanted = slots(jobs, self.version);
        wanted.values_mut().for_each(|spec| self.adapt(spec));
        self.wanted = wanted;
    }

    /// Fits a description to this place.
    fn adapt(&self, spec: &mut Spec) {
        for task in spec.group.tasks.values_mut() {
            if !self.config.keeps_output {
                task.logs.max_files = task.logs.max_files.min(SUPERVISE_SPOOL_FILES);
                task.logs.max_file_bytes = task.logs.max_file_bytes.min(SUPERVISE_SPOOL_BYTES);
            }
            for (name, value) in &self.config.environment {
                // `${` of a foreign value is no name of ours.
                task.env.entry(name.clone()).or_insert_with(|| value.replace("${", "$${"));
            }
        }
    }

    /// Does what is to be done, until nothing is.
    async fn act(&mut self) -> Result<(), Gone> {
        let steps = steps(&self.wanted, &self.book.held());
        let mut orders = BTreeMap::new();
        let mut released = BTreeSet::new();
        let mut begun = Vec::new();
        let mut given = self.book.ports();
        for step in steps {
            match step {
                Step::Stop(id) => {
                    self.book.dismiss(id);
                    orders.insert(id, assignments::Order::Stop);
                }
                Step::Release(id) => {
                    released.insert(id);
                }
                Step::Update(id, slot) => {
                    let ports = self.book.held().get(&id).map(|held| held.spec.ports.clone());
                    let Some(spec) = self.wanted.get(&slot) else { continue };
                    let spec = Spec { ports: ports.unwrap_or_default(), ..spec.clone() };
                    orders.insert(id, assignments::Order::Run(Box::new(spec)));
                }
                Step::Start(slot) => {
                    let Some(spec) = self.wanted.get(&slot) else { continue };
                    let seed = proto::ids::random_u64();
                    match ports::choose(&spec.group.ports, &given, seed, ports::is_free) {
                        Ok(ports) => {
                            given.extend(ports.values());
                            let id = self.book.next_id();
                            let spec = Spec { ports, ..spec.clone() };
                            orders.insert(id, assignments::Order::Run(Box::new(spec)));
                            begun.push(id);
                        }
                        Err(none_free) => {
                            self.tell(&slot.to_string(), &none_free.to_string());
                            self.wanted.remove(&slot);
                            self.end(1);
                        }
                    }
                }
            }
        }
        if orders.is_empty() && released.is_empty() {
            return Ok(());
        }
        let message = self.book.message(orders, released.clone());
        self.agent.manager().follow(message, None).await?;
        for id in released {
            self.book.remove(id);
        }
        for id in begun {
            self.follow(id).await?;
        }
        Ok(())
    }

    /// Begins to watch an allocation and to pass on its output.
    async fn follow(&mut self, id: AllocId) -> Result<(), Gone> {
        let Some(view) = self.agent.manager().watch(id).await? else { return Ok(()) };
        let first = view.borrow().clone();
        let spec = first.spec.clone();
        self.watchers.spawn(watch_one(id, view.clone(), self.changed.clone()));
        let begin = if self.found.contains(&id) { Begin::Tail(0) } else { Begin::Start };
        for task in spec.group.tasks.keys() {
            let folder = Folders::of(&self.allocs.join(id.to_string()), task).logs;
            // It is watched before anything is in it. Where it cannot be made the start of the task says why.
            let rope = std::fs::create_dir_all(&folder).ok().and_then(|()| self.bell.rope(&folder));
            let relay = Relay {
                folder,
                task: task.clone(),
                label: label(&spec, task).into(),
                begin,
                view: view.clone(),
                rope,
                output: self.sinks.output.clone(),
                lines: self.sinks.lines.clone(),
            };
            self.relays.spawn(relay.run());
        }
        if !self.found.contains(&id) {
            self.tell_changes(&[], &spec, &first.status.tasks);
            self.book.insert(id, first);
        }
        Ok(())
    }

    fn tell_changes(&mut self, before: &[TaskStatus], spec: &Spec, after: &[TaskStatus]) {
        for status in after {
            let known = before.iter().find(|known| known.name == status.name);
            for news in news(known, status, spec.kind) {
                let label = label(spec, &status.name);
                self.tell_line(Line { label, what: news.what, text: news.text });
            }
        }
    }

    async fn note(&mut self, id: AllocId, view: View) {
        let after = (view.spec.clone(), view.status.clone());
        if let Some(before) = self.book.note(id, view) {
            self.tell_changes(&before.status.tasks, &after.0, &after.1.tasks);
        }
        if self.is_killing {
            self.kill().await;
        }
        while self.relays.try_join_next().is_some() {}
        while self.watchers.try_join_next().is_some() {}
    }

    /// Decides whether all is to end or has ended; returns whether that is so.
    fn judge(&mut self) -> bool {
        match verdict(&self.book.judged()) {
            Verdict::GoOn => return false,
            // What is told to end is on its way, and what takes its place comes after it.
            Verdict::Over { .. } if self.book.anything_lives() => return false,
            Verdict::Over { code } => self.end(code),
            Verdict::End { code, task } => {
                if self.book.anything_lives() {
                    self.tell(&task, "is critical and has ended: the rest is stopped");
                }
                self.end(code);
            }
        }
        true
    }

    /// Wants nothing any more, and keeps the first reason for that.
    fn end(&mut self, code: u8) {
        self.wanted.clear();
        self.ending.get_or_insert(code);
    }

    async fn kill(&self) {
        const KILL: i32 = 9;
        for known in self.driver.list().await.unwrap_or_default() {
            // One that is gone meanwhile is what was wanted.
            let _ = self.driver.stop(known.id, KILL, Duration::ZERO).await;
        }
    }

    async fn signal(&mut self, signal: i32) {
        let running: Vec<_> =
            self.book.running().map(|(id, spec, tasks)| (id, spec, tasks.clone())).collect();
        let count: usize = running.iter().map(|(_, spec, _)| spec.group.tasks.len()).sum();
        let mut reached = false;
        for (id, spec, tasks) in running {
            for (task, attempt) in tasks {
                let is_critical = spec.group.tasks.get(&task).is_some_and(|task| task.critical);
                if is_critical || count == 1 {
                    reached = true;
                    let _ = self.driver.signal(attempt_id(id, &task, attempt), signal).await;
                }
            }
        }
        if !reached {
            self.tell("", &format!("signal {signal} is passed on to a critical task only, and none runs"));
        }
    }

    fn tell(&mut self, label: &str, text: &str) {
        self.tell_line(Line::note(label, text));
    }

    /// Says a line; what finds no room is counted and said later.
    fn tell_line(&mut self, line: Line) {
        if self.untold > 0 {
            let text = format!("{} lines were dropped: nobody read them", self.untold);
            if self.sinks.lines.try_send(Line::note("", text)).is_ok() {
                self.untold = 0;
            }
        }
        if self.sinks.lines.try_send(line).is_err() {
            self.untold += 1;
        }
    }
}

/// Tells of every change of an allocation, the latest at least, until it has ended.
async fn watch_one(id: AllocId, mut view: watch::Receiver<View>, changes: mpsc::Sender<Change>) {
    loop {
        let latest = view.borrow_and_update().clone();
        let is_over = latest.status.state.has_ended();
        if changes.send((id, latest)).await.is_err() || is_over || view.changed().await.is_err() {
            return;
        }
    }
}
