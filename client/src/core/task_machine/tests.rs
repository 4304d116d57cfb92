use proptest::prelude::*;

use super::*;

const ALLOC: AllocId = AllocId(5);
const POLICY: Restart = Restart { jitter_percent: 0, ..Restart::SERVICE };

fn rules(kind: JobType, restart: &Restart) -> Rules<'_> {
    let repeats = kind == JobType::Service && restart.on == RestartOn::Any;
    Rules { alloc: ALLOC, task: "web", repeats, restart, is_overdue: false }
}

fn at(ms: u64) -> Now {
    Now { boot: BootTime(ms), wall: Timestamp(1_000_000 + ms) }
}

fn exit(attempt: u32, code: i32, ms: u64) -> TaskEvent {
    end(attempt, EndReason::Exit(code), ms)
}

fn end(attempt: u32, reason: EndReason, ms: u64) -> TaskEvent {
    TaskEvent::Ended(AttemptEnd {
        attempt,
        reason,
        at: at(ms).wall,
        ran: Duration::from_millis(5),
        tail: "last words".into(),
    })
}

fn started(attempt: u32) -> TaskEvent {
    TaskEvent::Started { attempt, pid: 100 + attempt, at: Timestamp(1_000_000) }
}

/// Steps through events, one millisecond apart, and returns where it ends and the effects of the last event.
fn run(kind: JobType, policy: &Restart, events: Vec<TaskEvent>) -> (TaskState, Vec<Effect>) {
    let mut last = (TaskState::default(), Vec::new());
    for (ms, event) in events.into_iter().enumerate() {
        last = step(last.0, event, rules(kind, policy), at(ms as u64));
    }
    last
}

#[test]
fn the_number_of_an_attempt_is_saved_before_the_driver_is_asked() {
    let (state, effects) = run(JobType::Service, &POLICY, vec![TaskEvent::Start]);
    assert_eq!(state.attempt, 1);
    assert_eq!(effects, [Effect::Save, Effect::Start(1), Effect::Report]);
}

#[test]
fn batch_exit_0_is_complete_and_service_exit_0_starts_again() {
    let events = || vec![TaskEvent::Start, started(1), exit(1, 0, 2)];
    let (state, _) = run(JobType::Batch, &POLICY, events());
    assert_eq!(state.phase, Phase::Ended(Outcome::Complete));
    let (state, effects) = run(JobType::Service, &POLICY, events());
    assert_eq!(state.phase, Phase::Backoff(BootTime(1002)));
    assert_eq!(
        effects,
        [Effect::Save, Effect::Forget(1), Effect::Timer(BootTime(1002)), Effect::Report],
        "an end is saved before the driver may forget it"
    );
}

#[test]
fn a_service_that_is_given_up_carries_its_last_words_also_after_exit_0() {
    let mut state = TaskState { phase: Phase::Running, attempt: 1, pid: 7, ..TaskState::default() };
    let mut tails = Vec::new();
    for _ in 0..20 {
        let rules = rules(JobType::Service, &POLICY);
        let event = exit(state.attempt, 0, 2);
        state = step(state, event, rules, at(2)).0;
        tails.push(state.last_end.as_ref().map(|end| end.tail.clone()).unwrap_or_default());
        if state.phase == Phase::Ended(Outcome::Failed) {
            break;
        }
        state = TaskState { phase: Phase::Running, attempt: state.attempt + 1, pid: 7, ..state };
    }
    assert_eq!(state.phase, Phase::Ended(Outcome::Failed));
    let last = tails.pop();
    assert_eq!(last.as_deref(), Some("last words"));
    assert!(!tails.is_empty() && tails.iter().all(String::is_empty), "another try followed: {tails:?}");
}

#[test]
fn a_hopeless_start_fails_at_once_and_another_failure_is_tried_again() {
    let failed = |hopeless| {
        let reason = EndReason::StartFailed { step: "exec".into(), errno: 2, message: "no /bin/x".into() };
        let event = TaskEvent::StartFailed { attempt: 1, reason, hopeless };
        run(JobType::Service, &POLICY, vec![TaskEvent::Start, event]).0
    };
    assert_eq!(failed(true).phase, Phase::Ended(Outcome::Failed));
    assert!(matches!(failed(false).phase, Phase::Backoff(_)));
    assert_eq!(failed(true).started_at, None);
}

#[test]
fn an_exit_that_races_a_stop_counts_as_stopped() {
    for reason in [EndReason::Exit(0), EndReason::Exit(1), EndReason::Signal(15), EndReason::Oom] {
        let events = vec![TaskEvent::Start, started(1), TaskEvent::Stop, end(1, reason, 3)];
        let (state, _) = run(JobType::Batch, &POLICY, events);
        assert_eq!(state.phase, Phase::Ended(Outcome::Stopped));
        assert_eq!(state.last_end.map(|end| end.reason), Some(EndReason::Stopped));
    }
}

#[test]
fn a_stop_during_the_start_ends_what_the_start_brings() {
    let (state, effects) =
        run(JobType::Service, &POLICY, vec![TaskEvent::Start, TaskEvent::Stop, started(1)]);
    assert_eq!(state.phase, Phase::Stopping);
    assert_eq!(effects[0], Effect::Stop(1));
}

#[test]
fn a_stop_between_two_tries_is_the_end() {
    let events = vec![TaskEvent::Start, started(1), exit(1, 1, 2), TaskEvent::Stop, TaskEvent::Timer];
    let (state, effects) = run(JobType::Service, &POLICY, events);
    assert_eq!(state.phase, Phase::Ended(Outcome::Stopped));
    assert_eq!(effects, [], "a timer that was armed before starts nothing");
}

#[test]
fn a_timer_that_fires_early_is_armed_again() {
    let (state, _) = run(JobType::Service, &POLICY, vec![TaskEvent::Start, started(1), exit(1, 1, 2)]);
    let (state, effects) = step(state, TaskEvent::Timer, rules(JobType::Service, &POLICY), at(500));
    assert_eq!(effects, [Effect::Timer(BootTime(1002))]);
    let (state, effects) = step(state, TaskEvent::Timer, rules(JobType::Service, &POLICY), at(1002));
    assert_eq!((state.attempt, effects[1]), (2, Effect::Start(2)));
}

#[test]
fn a_lapsed_lease_is_never_answered_with_another_try() {
    let events = vec![TaskEvent::Start, started(1), end(1, EndReason::Lease, 2)];
    let (state, _) = run(JobType::Service, &Restart { attempts: None, ..POLICY }, events);
    assert_eq!(state.phase, Phase::Ended(Outcome::Failed));
}

#[test]
fn an_end_of_an_older_attempt_changes_nothing_and_may_be_forgotten() {
    let events = vec![TaskEvent::Start, started(1), exit(1, 1, 2)];
    let (state, _) = run(JobType::Service, &POLICY, events);
    let before = state.clone();
    let (state, effects) = step(state, exit(1, 1, 2), rules(JobType::Service, &POLICY), at(4));
    assert_eq!((state, effects), (before, vec![Effect::Forget(1)]));
}

#[test]
fn an_attempt_that_the_driver_never_got_is_asked_for_again_under_its_number() {
    let (state, effects) =
        run(JobType::Service, &POLICY, vec![TaskEvent::Start, TaskEvent::Unknown { attempt: 1 }]);
    assert_eq!((state.attempt, effects), (1, vec![Effect::Start(1)]));
}

#[test]
fn a_running_attempt_that_nobody_knows_any_more_has_ended() {
    let (state, _) =
        run(JobType::Service, &POLICY, vec![TaskEvent::Start, started(1), TaskEvent::Unknown { attempt: 1 }]);
    assert!(matches!(state.phase, Phase::Backoff(_)));
    assert_eq!(state.last_end.map(|end| end.reason), Some(EndReason::EngineGone));
}

#[test]
fn an_end_that_overtakes_the_news_of_its_start_is_not_lost() {
    let (state, _) = run(JobType::Batch, &POLICY, vec![TaskEvent::Start, exit(1, 0, 2)]);
    assert_eq!(state.phase, Phase::Ended(Outcome::Complete));
    assert!(state.started_at.is_some(), "it did start");
}

/// An event that carries a number is one of the driver: it is about `attempt - back`.
#[derive(Clone, Debug)]
enum Step {
    Start,
    Stop,
    Timer(u64),
    Unknown,
    Started { back: u32 },
    StartFailed { hopeless: bool },
    Ended { back: u32, code: i32, ran: u64 },
}

fn steps(with_stop: bool) -> impl Strategy<Value = Vec<Step>> {
    let stop = if with_stop { Just(Step::Stop) } else { Just(Step::Unknown) };
    let one = prop_oneof![
        2 => Just(Step::Start),
        1 => stop,
        4 => prop_oneof![0u64..200, 0u64..70_000].prop_map(Step::Timer),
        1 => Just(Step::Unknown),
        4 => (0u32..2).prop_map(|back| Step::Started { back }),
        1 => any::<bool>().prop_map(|hopeless| Step::StartFailed { hopeless }),
        4 => (0u32..2, 0i32..3, 0u64..200).prop_map(|(back, code, ran)| Step::Ended { back, code, ran }),
    ];
    proptest::collection::vec(one, 1..60)
}

fn event_of(step: &Step, state: &TaskState, now: Now) -> TaskEvent {
    match step {
        Step::Start => TaskEvent::Start,
        Step::Stop => TaskEvent::Stop,
        Step::Timer(_) => TaskEvent::Timer,
        Step::Unknown => TaskEvent::Unknown { attempt: state.attempt },
        Step::Started { back } => {
            TaskEvent::Started { attempt: state.attempt.saturating_sub(*back), pid: 9, at: now.wall }
        }
        Step::StartFailed { hopeless } => TaskEvent::StartFailed {
            attempt: state.attempt,
            reason: EndReason::StartFailed { step: "fork".into(), errno: 11, message: "again".into() },
            hopeless: *hopeless,
        },
        Step::Ended { back, code, ran } => TaskEvent::Ended(AttemptEnd {
            attempt: state.attempt.saturating_sub(*back),
            reason: EndReason::Exit(*code),
            at: now.wall,
            ran: Duration::from_millis(*ran),
            tail: String::new(),
        }),
    }
}

fn active(phase: Phase) -> bool {
    matches!(phase, Phase::Starting | Phase::Running | Phase::Stopping)
}

proptest! {
    #[test]
    fn whatever_happens_no_rule_of_the_machine_is_broken(
        script in steps(true),
        batch in any::<bool>(),
        attempts in proptest::option::of(0u32..5),
    ) {
        let kind = if batch { JobType::Batch } else { JobType::Service };
        let policy = Restart { attempts, delay: Duration::ZERO, ..Restart::SERVICE };
        let mut state = TaskState::default();
        let (mut now, mut last_start, mut stopped) = (0u64, None::<u64>, false);
        for one in &script {
            if let Step::Timer(wait) = one {
                now += wait;
            }
            let event = event_of(one, &state, at(now));
            let before = state.clone();
            let (next, effects) = step(state, event.clone(), rules(kind, &policy), at(now));
            state = next;
            stopped |= event == TaskEvent::Stop;

            if let Some(place) = effects.iter().position(|effect| matches!(effect, Effect::Start(_))) {
                prop_assert!(!stopped, "started after a stop");
                prop_assert_eq!(effects[place], Effect::Start(state.attempt));
                if !matches!(event, TaskEvent::Unknown { .. }) {
                    prop_assert!(effects[..place].contains(&Effect::Save), "an unsaved number");
                    prop_assert_eq!(state.attempt, before.attempt + 1);
                    prop_assert!(last_start.is_none_or(|last| now >= last + 100), "a spin");
                    last_start = Some(now);
                }
            }
            if let Phase::Ended(_) = before.phase {
                prop_assert_eq!(&state, &before, "an end is final");
            }
            if let TaskEvent::Ended(end) = &event
                && end.attempt == before.attempt
                && active(before.phase)
            {
                prop_assert!(!active(state.phase), "an end was lost");
                prop_assert!(state.last_end.is_some());
                prop_assert!(effects.contains(&Effect::Forget(end.attempt)));
            }
            if let Phase::Backoff(until) = state.phase
                && before.phase != state.phase
            {
                prop_assert!(effects.contains(&Effect::Timer(until)), "waits without a timer");
            }
            prop_assert!(state.attempt >= before.attempt);
            let only_started = (before.phase, state.phase) == (Phase::Starting, Phase::Running);
            if effects.contains(&Effect::Save) || state == before || only_started {
                continue;
            }
            prop_assert_eq!(state.phase, before.phase, "a change of phase that is not saved");
        }
    }

    #[test]
    fn a_service_without_limit_is_never_given_up(script in steps(false)) {
        let policy = Restart { attempts: None, ..Restart::SERVICE };
        let mut state = TaskState::default();
        let mut now = 0;
        for one in script.iter().filter(|one| !matches!(one, Step::StartFailed { hopeless: true })) {
            if let Step::Timer(wait) = one {
                now += wait;
            }
            let event = event_of(one, &state, at(now));
            state = step(state, event, rules(JobType::Service, &policy), at(now)).0;
            prop_assert!(!matches!(state.phase, Phase::Ended(_)), "{one:?} ended it");
        }
    }
}
