use std::time::Duration;

use proptest::prelude::*;
use proto::ids::AllocId;
use proto::model::{EndReason, JobType, Restart, RestartOn};
use proto::time::Timestamp;

use super::super::task_machine::{self, AttemptEnd, Effect, Rules};
use super::*;

const MAIN: Lifecycle = Lifecycle::Main;
const PRESTART: Lifecycle = Lifecycle::Prestart { sidecar: false };
const PRESTART_SIDECAR: Lifecycle = Lifecycle::Prestart { sidecar: true };
const POSTSTART: Lifecycle = Lifecycle::Poststart { sidecar: false };
const POSTSTART_SIDECAR: Lifecycle = Lifecycle::Poststart { sidecar: true };
const POSTSTOP: Lifecycle = Lifecycle::Poststop;

/// An attempt as the driver has it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    Runs { told: bool },
    Ended(EndReason),
}

/// One allocation with a driver that does what it is told at once, and an agent that can be killed. It checks, at every start
/// and every stop, that the picture of the module holds.
struct World {
    kind: JobType,
    group: Group,
    states: BTreeMap<String, TaskState>,
    course: Course,
    /// What is on disk.
    saved: (BTreeMap<String, TaskState>, Course),
    held: BTreeMap<(String, u32), Held>,
    /// Tasks in the order in which the driver started them.
    starts: Vec<String>,
    started_ms: BTreeMap<String, u64>,
    wake_at: Option<BootTime>,
    now_ms: u64,
}

impl World {
    fn new(kind: JobType, tasks: &[(&str, Lifecycle)]) -> Self {
        let task = |lifecycle| Task { lifecycle, ..Task::new("/bin/true") };
        let tasks = tasks.iter().map(|(name, lifecycle)| ((*name).to_owned(), task(*lifecycle)));
        let mut group = Group::new(kind, tasks.collect());
        group.restart = Restart { jitter_percent: 0, ..Restart::SERVICE };
        Self::of(kind, group)
    }

    fn of(kind: JobType, group: Group) -> Self {
        let states: BTreeMap<_, _> =
            group.tasks.keys().map(|name| (name.clone(), TaskState::default())).collect();
        Self {
            kind,
            group,
            saved: (states.clone(), Course::default()),
            states,
            course: Course::default(),
            held: BTreeMap::new(),
            starts: Vec::new(),
            started_ms: BTreeMap::new(),
            wake_at: None,
            now_ms: 1_000,
        }
    }

    fn now(&self) -> Now {
        Now { boot: BootTime(self.now_ms), wall: Timestamp(1_000_000 + self.now_ms) }
    }

    /// Begins, or goes on after the agent was killed.
    fn begin(&mut self) {
        let mut known: Vec<(String, TaskEvent)> =
            self.states.iter().filter_map(|(name, state)| self.found(name, state)).collect();
        known.sort_by_key(|(_, event)| !comes_first(event));
        self.happen(known);
    }

    fn found(&self, name: &str, state: &TaskState) -> Option<(String, TaskEvent)> {
        let attempt = state.attempt;
        let event = match (state.phase, self.held.get(&(name.to_owned(), attempt))) {
            (Phase::Waiting | Phase::Ended(_), _) => return None,
            (Phase::Backoff(_), _) | (_, None) => TaskEvent::Unknown { attempt },
            (_, Some(Held::Runs { .. })) => TaskEvent::Started { attempt, pid: 9, at: self.now().wall },
            (_, Some(Held::Ended(reason))) => self.ended(attempt, reason.clone()),
        };
        Some((name.to_owned(), event))
    }

    fn ended(&self, attempt: u32, reason: EndReason) -> TaskEvent {
        let (at, ran) = (self.now().wall, Duration::from_millis(5));
        TaskEvent::Ended(AttemptEnd { attempt, reason, at, ran, tail: String::new() })
    }

    /// The agent dies and comes back: it has what is on disk.
    fn kill(&mut self) {
        (self.states, self.course) = self.saved.clone();
        self.begin();
    }

    fn save(&mut self) {
        self.saved = (self.states.clone(), self.course);
    }

    fn happen(&mut self, events: Vec<(String, TaskEvent)>) {
        let mut events = std::collections::VecDeque::from(events);
        loop {
            if events.front().is_some_and(|(_, event)| comes_first(event)) {
                let (task, event) = events.pop_front().expect("it is there");
                self.step(&task, event);
                continue;
            }
            let decision = decide(&self.group, &self.states, self.course, self.now());
            (self.course, self.wake_at) = (decision.course, decision.wake_at);
            if decision.turns.is_empty() && events.is_empty() {
                let again = decide(&self.group, &self.states, self.course, self.now());
                assert_eq!((again.course, again.turns), (self.course, Vec::new()), "it decides once");
                return self.save();
            }
            let due = if decision.turns.is_empty() {
                events.pop_front().into_iter().collect()
            } else {
                decision.turns
            };
            for (task, event) in due {
                if let Some(news) = self.step(&task, event) {
                    events.push_front((task, news));
                }
            }
        }
    }

    fn step(&mut self, task: &str, event: TaskEvent) -> Option<TaskEvent> {
        let timed_out = self.course.timed_out;
        let rules = Rules::of(AllocId(5), task, self.kind, &self.group, timed_out).expect("it is there");
        let state = self.states[task].clone();
        let (next, effects) = task_machine::step(state, event, rules, self.now());
        self.states.insert(task.to_owned(), next);
        effects.into_iter().fold(None, |news, effect| self.perform(task, effect).or(news))
    }

    fn perform(&mut self, task: &str, effect: Effect) -> Option<TaskEvent> {
        match effect {
            Effect::Save => self.save(),
            Effect::Start(attempt) => {
                if !self.held.contains_key(&(task.to_owned(), attempt)) {
                    self.check_start(task);
                    self.held.insert((task.to_owned(), attempt), Held::Runs { told: false });
                    self.starts.push(task.to_owned());
                }
                return Some(TaskEvent::Started { attempt, pid: 9, at: self.now().wall });
            }
            Effect::Stop(attempt) => {
                self.check_stop(task);
                match self.held.get_mut(&(task.to_owned(), attempt)) {
                    None => return Some(TaskEvent::Unknown { attempt }),
                    Some(Held::Runs { told }) => *told = true,
                    Some(Held::Ended(_)) => {}
                }
            }
            Effect::Forget(attempt) => {
                self.held.remove(&(task.to_owned(), attempt));
            }
            Effect::Timer(_) | Effect::Report => {}
        }
        None
    }

    fn lifecycle(&self, task: &str) -> Lifecycle {
        self.group.tasks[task].lifecycle
    }

    fn runs(&self, of: impl Fn(Lifecycle) -> bool) -> bool {
        self.held
            .iter()
            .any(|((task, _), held)| matches!(held, Held::Runs { .. }) && of(self.lifecycle(task)))
    }

    fn check_start(&mut self, task: &str) {
        let before = self.started_ms.insert(task.to_owned(), self.now_ms);
        assert!(before.is_none_or(|before| self.now_ms >= before + 100), "{task} spins");
        let lifecycle = self.lifecycle(task);
        if lifecycle == POSTSTOP {
            assert!(!self.runs(|one| one != POSTSTOP), "{task} starts beside what it comes after");
            return;
        }
        assert!(!self.course.stop_ordered, "{task} starts though a stop was ordered");
        assert!(!self.course.timed_out, "{task} starts after its time");
        for (name, state) in &self.states {
            match (lifecycle, self.lifecycle(name)) {
                (MAIN, PRESTART) => assert_eq!(state.phase, Phase::Ended(Outcome::Complete), "{name}"),
                (MAIN, PRESTART_SIDECAR) | (POSTSTART | POSTSTART_SIDECAR, MAIN) => {
                    assert!(state.has_started(), "{task} starts before {name}");
                }
                _ => {}
            }
        }
    }

    fn check_stop(&self, task: &str) {
        if self.lifecycle(task).is_sidecar() {
            let work = |one: Lifecycle| one != POSTSTOP && !one.is_sidecar();
            assert!(!self.runs(work), "the sidecar {task} is stopped before the work has ended");
        }
    }

    /// Time passes; what was told to stop ends, and what waits for a timer wakes.
    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        let told: Vec<(String, u32)> = self
            .held
            .iter()
            .filter(|(_, held)| **held == Held::Runs { told: true })
            .map(|(id, _)| id.clone())
            .collect();
        for (task, attempt) in told {
            self.end(&task, attempt, EndReason::Stopped);
        }
        let waits = |(name, state): (&String, &TaskState)| {
            matches!(state.phase, Phase::Backoff(_)).then(|| (name.clone(), TaskEvent::Timer))
        };
        let timers = self.states.iter().filter_map(waits).collect();
        self.happen(timers);
    }

    fn end(&mut self, task: &str, attempt: u32, reason: EndReason) {
        self.held.insert((task.to_owned(), attempt), Held::Ended(reason.clone()));
        let event = self.ended(attempt, reason);
        self.happen(vec![(task.to_owned(), event)]);
    }

    /// The running attempt of a task ends by itself, if there is one.
    fn exit(&mut self, task: &str, code: i32) {
        let attempt = self.states[task].attempt;
        if matches!(self.held.get(&(task.to_owned(), attempt)), Some(Held::Runs { .. })) {
            self.end(task, attempt, EndReason::Exit(code));
        }
    }

    fn stop(&mut self) {
        self.course.stop_ordered = true;
        self.happen(Vec::new());
    }

    fn phase(&self, task: &str) -> Phase {
        self.states[task].phase
    }

    fn outcome(&self, task: &str) -> Option<Outcome> {
        match self.phase(task) {
            Phase::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    fn reason(&self, task: &str) -> Option<EndReason> {
        self.states[task].last_end.as_ref().map(|end| end.reason.clone())
    }
}

fn shop() -> World {
    let mut world = World::new(
        JobType::Batch,
        &[
            ("clean", POSTSTOP),
            ("migrate", PRESTART),
            ("notify", POSTSTART),
            ("proxy", PRESTART_SIDECAR),
            ("shipper", POSTSTART_SIDECAR),
            ("work", MAIN),
        ],
    );
    world.begin();
    world
}

#[test]
fn prestart_finishes_before_main_starts_and_poststart_follows() {
    let mut world = shop();
    assert_eq!(world.starts, ["migrate", "proxy"]);
    world.exit("migrate", 0);
    assert_eq!(world.starts, ["migrate", "proxy", "work", "notify", "shipper"]);
    world.exit("notify", 0);
    assert_eq!(world.outcome("notify"), Some(Outcome::Complete), "a hook runs once");
}

#[test]
fn when_the_work_is_done_sidecars_are_stopped_and_then_poststop_runs() {
    let mut world = shop();
    world.exit("migrate", 0);
    world.exit("notify", 0);
    world.exit("work", 0);
    assert_eq!((world.phase("proxy"), world.phase("shipper")), (Phase::Stopping, Phase::Stopping));
    assert_eq!(world.phase("clean"), Phase::Waiting);
    world.pass(10);
    assert_eq!(world.starts.last().map(String::as_str), Some("clean"));
    world.exit("clean", 0);
    assert!(has_ended(&world.states));
}

#[test]
fn a_prestart_that_fails_is_tried_again_and_used_up_it_fails_the_allocation() {
    let mut world = shop();
    for _ in 0..4 {
        assert_eq!(world.phase("work"), Phase::Waiting);
        world.exit("migrate", 1);
        world.pass(30_000);
    }
    assert_eq!(world.outcome("migrate"), Some(Outcome::Failed));
    assert_eq!(world.outcome("work"), Some(Outcome::Stopped), "it never started");
    world.pass(10);
    assert_eq!(world.phase("clean"), Phase::Running, "poststop runs even then");
}

#[test]
fn a_stop_ends_main_tasks_first_then_sidecars_then_runs_poststop() {
    let mut world = shop();
    world.exit("migrate", 0);
    world.stop();
    assert_eq!((world.phase("work"), world.phase("proxy")), (Phase::Stopping, Phase::Running));
    world.pass(10);
    assert_eq!((world.outcome("work"), world.phase("proxy")), (Some(Outcome::Stopped), Phase::Stopping));
    assert_eq!(world.phase("clean"), Phase::Waiting);
    world.pass(10);
    assert_eq!(world.phase("clean"), Phase::Running);
}

#[test]
fn a_stop_before_anything_began_starts_nothing() {
    let mut world = World::new(JobType::Service, &[("clean", POSTSTOP), ("web", MAIN)]);
    world.course.stop_ordered = true;
    world.begin();
    assert!(world.starts.is_empty() && has_ended(&world.states));
}

#[test]
fn a_poststop_that_hangs_is_stopped_when_its_time_is_over() {
    let mut world = World::new(JobType::Service, &[("clean", POSTSTOP), ("web", MAIN)]);
    world.begin();
    world.stop();
    world.pass(10);
    let until = world.now_ms - 10 + (POSTSTOP_MAX + Task::DEFAULT_STOP_TIMEOUT).as_millis() as u64;
    let until = world.wake_at.map_or(until, |at| at.0);
    world.kill();
    assert_eq!(world.wake_at, Some(BootTime(until)), "a death of the agent gives it no more time");
    world.pass(until - world.now_ms);
    assert_eq!(world.phase("clean"), Phase::Stopping);
    world.pass(10);
    assert!(has_ended(&world.states));
}

#[test]
fn a_critical_task_that_ends_for_good_takes_its_siblings_with_it() {
    let mut world = World::new(JobType::Batch, &[("a", MAIN), ("b", MAIN)]);
    world.group.tasks.get_mut("a").expect("it is there").critical = true;
    world.begin();
    world.exit("a", 3);
    assert_eq!(world.phase("b"), Phase::Running, "between two tries nothing has ended for good");
    world.pass(30_000);
    world.exit("a", 0);
    assert_eq!(world.phase("b"), Phase::Stopping);
}

#[test]
fn a_main_task_that_is_done_leaves_its_siblings_alone() {
    let mut world = World::new(JobType::Batch, &[("a", MAIN), ("b", MAIN)]);
    world.begin();
    world.exit("a", 0);
    assert_eq!((world.outcome("a"), world.phase("b")), (Some(Outcome::Complete), Phase::Running));
}

#[test]
fn a_sidecar_that_exits_starts_again_also_beside_a_batch() {
    let mut world = World::new(JobType::Batch, &[("proxy", PRESTART_SIDECAR), ("work", MAIN)]);
    world.begin();
    world.exit("proxy", 0);
    assert!(matches!(world.phase("proxy"), Phase::Backoff(_)));
    world.pass(2_000);
    assert_eq!((world.phase("proxy"), world.phase("work")), (Phase::Running, Phase::Running));
}

#[test]
fn what_runs_longer_than_max_run_has_failed_by_timeout() {
    for killed in [false, true] {
        let mut world = World::new(JobType::Batch, &[("proxy", PRESTART_SIDECAR), ("work", MAIN)]);
        world.group.max_run = Some(Duration::from_secs(60));
        world.begin();
        world.pass(20_000);
        if killed {
            world.kill();
        }
        assert_eq!(world.wake_at, Some(BootTime(61_000)));
        world.exit("work", 1);
        world.pass(39_000);
        assert_eq!(world.phase("work"), Phase::Running, "a second try gets no time of its own");
        world.pass(1_000);
        assert_eq!(world.phase("work"), Phase::Stopping);
        if killed {
            world.kill();
        }
        world.pass(10);
        assert_eq!(world.outcome("work"), Some(Outcome::Failed));
        assert_eq!(world.reason("work"), Some(EndReason::Timeout));
        world.pass(10);
        assert_eq!(world.outcome("proxy"), Some(Outcome::Stopped));
    }
}

#[test]
fn restart_on_decides_which_ends_are_tried_again() {
    let ended = |on, code| {
        let mut world = World::new(JobType::Service, &[("web", MAIN)]);
        world.group.restart.on = on;
        world.begin();
        world.exit("web", code);
        world.outcome("web")
    };
    assert_eq!((ended(RestartOn::Any, 0), ended(RestartOn::Any, 1)), (None, None));
    assert_eq!((ended(RestartOn::Failure, 0), ended(RestartOn::Failure, 1)), (Some(Outcome::Complete), None));
    assert_eq!(ended(RestartOn::Never, 0), Some(Outcome::Complete));
    assert_eq!(ended(RestartOn::Never, 1), Some(Outcome::Failed));
}

/// What happens to a random allocation.
#[derive(Clone, Debug)]
enum Chance {
    Exit(prop::sample::Index, i32),
    Pass(u64),
    Kill,
    Stop,
}

fn chances() -> impl Strategy<Value = Vec<Chance>> {
    let one = prop_oneof![
        6 => (any::<prop::sample::Index>(), prop_oneof![2 => Just(0), 1 => Just(1)])
            .prop_map(|(task, code)| Chance::Exit(task, code)),
        4 => prop_oneof![0u64..300, 0u64..60_000].prop_map(Chance::Pass),
        2 => Just(Chance::Kill),
        1 => Just(Chance::Stop),
    ];
    proptest::collection::vec(one, 0..50)
}

fn groups() -> impl Strategy<Value = (JobType, Group)> {
    let hook = prop_oneof![
        Just(MAIN),
        Just(PRESTART),
        Just(PRESTART_SIDECAR),
        Just(POSTSTART),
        Just(POSTSTART_SIDECAR),
        Just(POSTSTOP),
    ];
    let on = prop_oneof![Just(RestartOn::Any), Just(RestartOn::Failure), Just(RestartOn::Never)];
    let tasks = proptest::collection::vec((hook, prop::bool::weighted(0.2)), 0..6);
    let max_run = proptest::option::of((1u64..120_000).prop_map(Duration::from_millis));
    (any::<bool>(), tasks, on, proptest::option::of(0u32..4), max_run).prop_map(
        |(batch, tasks, on, attempts, max_run)| {
            let kind = if batch { JobType::Batch } else { JobType::Service };
            let task = |(at, (lifecycle, critical)): (usize, (Lifecycle, bool))| {
                (format!("t{at}"), Task { lifecycle, critical, ..Task::new("/bin/true") })
            };
            let tasks = tasks.into_iter().chain([(MAIN, false)]).enumerate().map(task).collect();
            let restart = Restart { on, attempts, delay: Duration::from_millis(100), ..Restart::SERVICE };
            (kind, Group { max_run, restart, ..Group::new(kind, tasks) })
        },
    )
}

proptest! {
    #[test]
    fn whatever_happens_the_order_holds_and_a_stop_ends_it_all((kind, group) in groups(), script in chances()) {
        let mut world = World::of(kind, group);
        world.begin();
        let names: Vec<String> = world.group.tasks.keys().cloned().collect();
        for one in script {
            match one {
                Chance::Exit(task, code) => world.exit(&names[task.index(names.len())].clone(), code),
                Chance::Pass(ms) => world.pass(ms),
                Chance::Kill => world.kill(),
                Chance::Stop => world.stop(),
            }
        }
        world.stop();
        for _ in 0..8 {
            world.pass(10);
        }
        world.pass((POSTSTOP_MAX + Task::DEFAULT_STOP_TIMEOUT).as_millis() as u64);
        world.pass(10);
        prop_assert!(has_ended(&world.states), "{:?}", world.states);
        prop_assert!(world.held.is_empty(), "an end was lost: {:?}", world.held);
        let swept = |(name, task): (&String, &Task)| task.lifecycle != POSTSTOP || world.starts.contains(name);
        prop_assert!(world.starts.is_empty() || world.group.tasks.iter().all(swept), "poststop did not run");
    }

    #[test]
    fn what_is_left_alone_never_hangs_without_a_timer((kind, group) in groups(), script in chances()) {
        let mut world = World::of(kind, group);
        world.begin();
        let names: Vec<String> = world.group.tasks.keys().cloned().collect();
        for one in script {
            match one {
                Chance::Exit(task, code) => world.exit(&names[task.index(names.len())].clone(), code),
                Chance::Pass(ms) => world.pass(ms),
                Chance::Kill | Chance::Stop => world.kill(),
            }
            let runs = world.runs(|_| true);
            let waits = world.states.values().any(|state| matches!(state.phase, Phase::Backoff(_)));
            prop_assert!(runs || waits || has_ended(&world.states), "{:?}", world.states);
        }
    }
}
