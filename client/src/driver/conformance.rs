//! What every driver promises, as checks that run against any of them.
//!
//! They panic with what they saw. A subject brings the driver and says how to make a task behave.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::{AttemptId, BoxFuture, Driver, EndCause, Ended, Ends, KnownState, StartSpec};
use crate::keeper::clock;

/// How a task of a check behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Runs until it is signalled.
    Forever,
    /// Runs until it is killed.
    IgnoresTerm,
    /// Runs for a few milliseconds and exits with this code.
    Exits(i32),
    /// Prints this and exits with 1.
    Prints(&'static str),
    /// Is a program that does not exist.
    Missing,
}

/// A driver under test.
pub trait Subject: Sync {
    /// Returns a fresh client of it, as an agent that has just started would make.
    fn driver(&self) -> Arc<dyn Driver>;

    /// Fills in command and arguments.
    fn shape(&self, spec: &mut StartSpec, behaviour: Behaviour);

    /// Waits until a task that [`Behaviour::IgnoresTerm`] has come to that.
    fn settled<'a>(&'a self, _spec: &'a StartSpec) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Returns the directory of logs.
    fn log_dir(&self) -> PathBuf {
        PathBuf::from("/nonexistent")
    }
}

/// No check waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs all checks.
pub async fn all(subject: &dyn Subject) {
    a_second_start_starts_nothing(subject).await;
    an_end_arrives_until_it_is_collected(subject).await;
    a_start_failure_names_step_and_reason(subject).await;
    a_stop_ends_in_a_kill(subject).await;
    a_gentle_stop_is_no_kill(subject).await;
    a_signal_from_outside_is_not_a_stop(subject).await;
    a_running_attempt_is_not_collected(subject).await;
    the_tail_travels_with_the_end(subject).await;
    a_deadline_kills_unless_it_is_moved(subject).await;
    an_unknown_attempt_is_refused(subject).await;
    what_it_uses_is_told_until_it_is_collected(subject).await;
}

/// A second start of the same attempt answers the same process, also after its end.
pub async fn a_second_start_starts_nothing(subject: &dyn Subject) {
    let driver = subject.driver();
    let spec = spec(subject, Behaviour::Exits(0));
    let mut ends = driver.ends();
    let first = driver.start(spec.clone()).await.expect("reached").expect("started");
    let second = driver.start(spec.clone()).await.expect("reached").expect("started");
    assert_eq!(first, second);
    end_of(&mut ends, &spec.id).await;
    let third = driver.start(spec.clone()).await.expect("reached").expect("started");
    assert_eq!(first, third, "a start after the end must not run it again");
    driver.collect(spec.id).await.expect("reached").expect("collected");
}

/// The end is delivered to whoever asks until it is collected, then to nobody.
pub async fn an_end_arrives_until_it_is_collected(subject: &dyn Subject) {
    let driver = subject.driver();
    let spec = spec(subject, Behaviour::Exits(7));
    driver.start(spec.clone()).await.expect("reached").expect("started");
    let end = end_of(&mut driver.ends(), &spec.id).await;
    assert_eq!((end.cause, end.stopped_by_us), (EndCause::Exit(7), false));
    assert!(end.at_ms > 0);
    // Another agent, as after a restart: it lists the end and is told of it.
    let later = subject.driver();
    assert_eq!(end_of(&mut later.ends(), &spec.id).await.cause, EndCause::Exit(7));
    let listed = later.list().await.expect("reached").into_iter().find(|known| known.id == spec.id);
    match listed.expect("an uncollected end is listed").state {
        KnownState::Ended(end) => assert_eq!(end.cause, EndCause::Exit(7)),
        state @ KnownState::Running { .. } => panic!("it has ended but is listed as {state:?}"),
    }
    for _ in 0..2 {
        later.collect(spec.id.clone()).await.expect("reached").expect("collected, and collected again");
    }
    let listed = driver.list().await.expect("reached");
    assert!(listed.iter().all(|known| known.id != spec.id), "a collected attempt is forgotten");
}

/// A program that is not there fails the start, hopelessly, by name.
pub async fn a_start_failure_names_step_and_reason(subject: &dyn Subject) {
    let driver = subject.driver();
    let spec = spec(subject, Behaviour::Missing);
    for _ in 0..2 {
        let failure = driver.start(spec.clone()).await.expect("reached").expect_err("must fail");
        assert_eq!((failure.step.as_str(), failure.errno), ("exec", Some(libc::ENOENT)), "{failure:?}");
        assert!(
            failure.message.contains(&spec.command) && failure.message.contains("No such file"),
            "{failure:?}"
        );
        assert!(failure.hopeless);
    }
    let listed = driver.list().await.expect("reached");
    assert!(listed.iter().all(|known| known.id != spec.id), "a failed start leaves nothing");
}

/// A task that ignores the signal is killed at the timeout.
pub async fn a_stop_ends_in_a_kill(subject: &dyn Subject) {
    let driver = subject.driver();
    let spec = spec(subject, Behaviour::IgnoresTerm);
    let mut ends = driver.ends();
    driver.start(spec.clone()).await.expect("reached").expect("started");
    subject.settled(&spec).await;
    for _ in 0..2 {
        let stop = driver.stop(spec.id.clone(), libc::SIGTERM, Duration::from_millis(300)).await;
        stop.expect("reached").expect("stopped");
    }
    let end = end_of(&mut ends, &spec.id).await;
    assert_eq!((end.cause, end.stopped_by_us), (EndCause::Killed, true));
    assert!(end.ran_ms >= 290, "it got its time, not {} ms", end.ran_ms);
    driver.collect(spec.id).await.expect("reached").expect("collected");
}

/// A task that obeys the signal ends by it, and the end says that we asked.
pub async fn a_gentle_stop_is_no_kill(subject: &dyn Subject) {
    let driver = subject.driver();
    let spec = spec(subject, Behaviour::Forever);
    let mut ends = driver.ends();
    driver.start(spec.clone()).await.expect("reached").expect("started");
    let stop = driver.stop(spec.id.clone(), libc::SIGTERM, Duration::from_secs(60)).await;
    stop.expect("reached").expect("stopped");
    let end = end_of(&mut ends, &spec.id).await;
    assert_eq!((end.cause, end.stopped_by_us), (EndCause::Signal(libc::SIGTERM), true));
    let again = driver.stop(spec.id.clone(), libc::SIGTERM, Duration::ZERO).await;
    again.expect("reached").expect("stopping what has ended is no error");
    driver.collect(spec.id).await.expect("reached").expect("collected");
}

/// A signal is a signal: the end does not claim a stop.
pub async fn a_signal_from_outside_is_not_a_stop(subject: &dyn Subject) {
    let driver = subject.driver();
    let spec = spec(subject, Behaviour::Forever);
    let mut ends = driver.ends();
    driver.start(spec.clone()).await.expect("reached").expect("started");
    driver.signal(spec.id.clone(), libc::SIGKILL).await.expect("reached").expect("signalled");
    let end = end_of(&mut ends, &spec.id).await;
    assert_eq!((end.cause, end.stopped_by_us), (EndCause::Signal(libc::SIGKILL), false));
    driver.collect(spec.id).await.expect("reached").expect("collected");
}

/// Collecting what runs would lose its end.
pub async fn a_running_attempt_is_not_collected(subject: &dyn Subject) {
    let driver = subject.driver();
    let spec = spec(subject, Behaviour::Forever);
    let mut ends = driver.ends();
    let started = driver.start(spec.clone()).await.expect("reached").expect("started");
    let refused = driver.collect(spec.id.clone()).await.expect("reached").expect_err("it runs");
    assert_eq!(refused.kind, "running");
    let listed =
        subject.driver().list().await.expect("reached").into_iter().find(|known| known.id == spec.id);
    let listed = listed.expect("a running attempt is listed");
    assert_eq!((listed.pid, listed.state), (started.pid, KnownState::Running { stopping: false }));
    driver.stop(spec.id.clone(), libc::SIGTERM, Duration::ZERO).await.expect("reached").expect("stopped");
    assert_eq!(end_of(&mut ends, &spec.id).await.cause, EndCause::Killed, "no time at all means SIGKILL");
    driver.collect(spec.id).await.expect("reached").expect("collected");
}

/// The last output is in the end.
pub async fn the_tail_travels_with_the_end(subject: &dyn Subject) {
    let driver = subject.driver();
    let spec = spec(subject, Behaviour::Prints("cannot bind port 80"));
    driver.start(spec.clone()).await.expect("reached").expect("started");
    let end = end_of(&mut driver.ends(), &spec.id).await;
    assert_eq!((end.cause, end.tail.as_str()), (EndCause::Exit(1), "cannot bind port 80\n"));
    driver.collect(spec.id).await.expect("reached").expect("collected");
}

/// A fence kills at its deadline, and one that is moved or removed does not.
pub async fn a_deadline_kills_unless_it_is_moved(subject: &dyn Subject) {
    let driver = subject.driver();
    let (fenced, freed) = (spec(subject, Behaviour::Forever), spec(subject, Behaviour::Forever));
    let mut ends = driver.ends();
    for spec in [&fenced, &freed] {
        driver.start(spec.clone()).await.expect("reached").expect("started");
        let soon = Some(clock::boot_ms() + 300);
        driver.set_deadline(spec.id.clone(), soon).await.expect("reached").expect("armed");
    }
    driver.set_deadline(freed.id.clone(), None).await.expect("reached").expect("removed");
    let end = end_of(&mut ends, &fenced.id).await;
    assert_eq!((end.cause, end.stopped_by_us), (EndCause::Lease, false));
    let listed = driver.list().await.expect("reached");
    let running =
        listed.iter().any(|known| known.id == freed.id && matches!(known.state, KnownState::Running { .. }));
    assert!(running, "without its fence it goes on");
    driver.stop(freed.id.clone(), libc::SIGTERM, PATIENCE).await.expect("reached").expect("stopped");
    end_of(&mut ends, &freed.id).await;
    for id in [fenced.id, freed.id] {
        driver.collect(id).await.expect("reached").expect("collected");
    }
}

/// Orders for what the driver does not know are refused, not ignored.
pub async fn an_unknown_attempt_is_refused(subject: &dyn Subject) {
    let driver = subject.driver();
    let id = spec(subject, Behaviour::Forever).id;
    let stop = driver.stop(id.clone(), libc::SIGTERM, PATIENCE).await.expect("reached");
    let signal = driver.signal(id.clone(), libc::SIGHUP).await.expect("reached");
    let fence = driver.set_deadline(id, None).await.expect("reached");
    for reply in [stop, signal, fence] {
        assert_eq!(reply.expect_err("it is not known").kind, "unknown");
    }
}

/// What an attempt uses is told while it runs, and its last after it has ended, until that is collected.
pub async fn what_it_uses_is_told_until_it_is_collected(subject: &dyn Subject) {
    let driver = subject.driver();
    let mut ends = driver.ends();
    let spec = spec(subject, Behaviour::Forever);
    driver.start(spec.clone()).await.expect("reached").expect("started");
    let usage = driver.stats(spec.id.clone()).await.expect("reached").expect("it runs");
    assert!(usage.processes >= 1, "{usage:?}");
    assert!(usage.memory_bytes.is_some() && usage.cpu_us.is_some(), "{usage:?}");
    assert!(usage.memory_peak_bytes > Some(0), "{usage:?}");
    driver.stop(spec.id.clone(), libc::SIGTERM, PATIENCE).await.expect("reached").expect("it is known");
    end_of(&mut ends, &spec.id).await;
    let last = driver.stats(spec.id.clone()).await.expect("reached").expect("it is not collected");
    assert_eq!(last.processes, 0);
    assert!(last.cpu_us >= usage.cpu_us, "{last:?} after {usage:?}");
    driver.collect(spec.id.clone()).await.expect("reached").expect("it has ended");
    let refused = driver.stats(spec.id).await.expect("reached").expect_err("it was collected");
    assert_eq!(refused.kind, "unknown");
}

/// Makes a spec with an id of its own.
pub fn spec(subject: &dyn Subject, behaviour: Behaviour) -> StartSpec {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let alloc = NEXT.fetch_add(1, Ordering::Relaxed);
    let id = AttemptId { alloc, task: format!("task{alloc}"), attempt: 1 };
    let mut spec = StartSpec::new(id, "no-such-program", subject.log_dir());
    subject.shape(&mut spec, behaviour);
    spec
}

/// Waits for the end of one attempt.
pub async fn end_of(ends: &mut Ends, id: &AttemptId) -> Ended {
    let wait = async {
        loop {
            let end = ends.next().await.expect("the driver is there");
            if end.id == *id {
                return end;
            }
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{id} did not end within {PATIENCE:?}"))
}
