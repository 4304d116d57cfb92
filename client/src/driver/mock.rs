//! A driver that plays scripts, for tests of the layers above: no processes, and time that can be paused.
//!
//! The script is the arguments joined by `;`, one statement each: `run DURATION` (`50ms`, `3s`, `forever`), `print TEXT`,
//! `exit CODE`, `die SIGNAL`, `oom`, `ignore-term` (a stop has to kill), `fail-start ENOENT` (or another errno name; only as the
//! first statement), `use MEMORY_BYTES CPU_MS PROCESSES` (what it uses from then on; the peak is the largest so far). A script
//! that ends without one of the ends exits with 0.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::ends::{Board, Ends};
use super::{
    AttemptId, BoxFuture, Driver, EndCause, Ended, Gone, Known, KnownState, Refused, Reply, StartFailure,
    StartSpec, Started, Usage,
};
use crate::keeper::clock;
use crate::limits::TAIL_BYTES_MAX;

/// The driver; clones share their attempts, as agents of one machine would.
#[derive(Debug, Clone, Default)]
pub struct Mock {
    shared: Arc<Mutex<Shared>>,
    board: Board,
}

#[derive(Debug, Default)]
struct Shared {
    attempts: HashMap<AttemptId, Attempt>,
    next_pid: u32,
    /// Every start that was asked for and not answered from memory, in order.
    starts: Vec<StartSpec>,
    away: bool,
}

#[derive(Debug)]
struct Attempt {
    started: Started,
    begun: Instant,
    orders: Arc<Notify>,
    kill_at: Option<Instant>,
    deadline: Option<Instant>,
    stopping: bool,
    signals: Vec<i32>,
    tail: String,
    usage: Usage,
    ended: Option<Ended>,
}

/// What a mock uses whose script says nothing.
const IDLE: Usage =
    Usage { memory_bytes: Some(1 << 20), memory_peak_bytes: Some(1 << 20), cpu_us: Some(0), processes: 1 };

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Statement {
    Run(Option<Duration>),
    Print(String),
    End(EndCause),
    IgnoreTerm,
    FailStart(i32),
    Use { memory_bytes: u64, cpu_us: u64, processes: u32 },
}

impl Mock {
    /// Returns all starts that led to an attempt or a failure, in order.
    pub fn starts(&self) -> Vec<StartSpec> {
        self.lock().starts.clone()
    }

    /// Returns the signals an attempt got, stops included.
    pub fn signals(&self, id: &AttemptId) -> Vec<i32> {
        self.lock().attempts.get(id).map(|attempt| attempt.signals.clone()).unwrap_or_default()
    }

    /// Makes every request fail as if nobody answered, until it is called with `false`.
    pub fn set_away(&self, away: bool) {
        self.lock().away = away;
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn present(&self) -> Result<MutexGuard<'_, Shared>, Gone> {
        let shared = self.lock();
        if shared.away { Err(Gone { why: "the mock is away".into() }) } else { Ok(shared) }
    }

    fn begin(&self, spec: StartSpec) -> Reply<Started, StartFailure> {
        let mut shared = self.present()?;
        if let Some(attempt) = shared.attempts.get(&spec.id) {
            return Ok(Ok(attempt.started));
        }
        shared.starts.push(spec.clone());
        let script = match parse(&spec.args.join(";")) {
            Ok(script) => script,
            Err(message) => return Ok(Err(failure("script", None, message))),
        };
        if let Some(Statement::FailStart(errno)) = script.first() {
            let reason = nix::errno::Errno::from_raw(*errno).desc();
            return Ok(Err(failure("exec", Some(*errno), format!("exec {}: {reason}", spec.command))));
        }
        shared.next_pid += 1;
        let started = Started { pid: 100_000 + shared.next_pid, started_at_ms: clock::wall_ms() };
        let attempt = Attempt {
            started,
            begun: Instant::now(),
            orders: Arc::default(),
            kill_at: None,
            deadline: spec.deadline_boot_ms.map(instant_of),
            stopping: false,
            signals: Vec::new(),
            tail: String::new(),
            usage: IDLE,
            ended: None,
        };
        shared.attempts.insert(spec.id.clone(), attempt);
        drop(shared);
        tokio::spawn(self.clone().play(spec.id, script));
        Ok(Ok(started))
    }

    async fn play(self, id: AttemptId, script: Vec<Statement>) {
        let ignores_term = script.contains(&Statement::IgnoreTerm);
        for statement in script.into_iter().chain([Statement::End(EndCause::Exit(0))]) {
            let cause = match statement {
                Statement::Print(text) => {
                    self.print(&id, &text);
                    None
                }
                Statement::Use { memory_bytes, cpu_us, processes } => {
                    self.note_usage(&id, memory_bytes, cpu_us, processes);
                    None
                }
                Statement::End(cause) => Some(cause),
                Statement::Run(duration) => self.wait(&id, duration, ignores_term).await,
                Statement::IgnoreTerm | Statement::FailStart(_) => None,
            };
            if let Some(cause) = cause {
                return self.end(&id, cause);
            }
        }
    }

    fn print(&self, id: &AttemptId, text: &str) {
        if let Some(attempt) = self.lock().attempts.get_mut(id) {
            attempt.tail.push_str(text);
            attempt.tail.push('\n');
            let excess = attempt.tail.len().saturating_sub(TAIL_BYTES_MAX);
            let from = (excess..).find(|&at| attempt.tail.is_char_boundary(at)).unwrap_or(0);
            attempt.tail.drain(..from);
        }
    }

    fn note_usage(&self, id: &AttemptId, memory_bytes: u64, cpu_us: u64, processes: u32) {
        if let Some(attempt) = self.lock().attempts.get_mut(id) {
            let peak = attempt.usage.memory_peak_bytes.max(Some(memory_bytes));
            attempt.usage = Usage {
                memory_bytes: Some(memory_bytes),
                memory_peak_bytes: peak,
                cpu_us: Some(cpu_us),
                processes,
            };
        }
    }

    /// Waits for the time to pass, or for what ends the attempt before that.
    async fn wait(&self, id: &AttemptId, duration: Option<Duration>, ignores_term: bool) -> Option<EndCause> {
        let until = duration.map(|duration| Instant::now() + duration);
        loop {
            let (orders, next) = {
                let shared = self.lock();
                let attempt = shared.attempts.get(id)?;
                let now = Instant::now();
                if attempt.kill_at.is_some_and(|at| at <= now) {
                    return Some(EndCause::Killed);
                }
                if attempt.deadline.is_some_and(|at| at <= now) {
                    return Some(EndCause::Lease);
                }
                if let Some(&signal) = attempt.signals.iter().find(|&&signal| kills(signal, ignores_term)) {
                    return Some(EndCause::Signal(signal));
                }
                if until.is_some_and(|at| at <= now) {
                    return None;
                }
                let next = [attempt.kill_at, attempt.deadline, until].into_iter().flatten().min();
                (Arc::clone(&attempt.orders), next)
            };
            let passed = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = orders.notified() => {}
                () = passed => {}
            }
        }
    }

    fn end(&self, id: &AttemptId, cause: EndCause) {
        let mut shared = self.lock();
        let Some(attempt) = shared.attempts.get_mut(id) else { return };
        let ended = Ended {
            id: id.clone(),
            cause,
            stopped_by_us: attempt.stopping,
            at_ms: clock::wall_ms(),
            ran_ms: attempt.begun.elapsed().as_millis() as u64,
            tail: attempt.tail.clone(),
            dropped_bytes: 0,
        };
        attempt.usage = Usage { memory_bytes: Some(0), processes: 0, ..attempt.usage };
        attempt.ended = Some(ended.clone());
        drop(shared);
        self.board.put(ended);
    }

    fn order(&self, id: &AttemptId, change: impl FnOnce(&mut Attempt)) -> Reply<()> {
        let mut shared = self.present()?;
        let Some(attempt) = shared.attempts.get_mut(id) else {
            return Ok(Err(refused("unknown", format!("{id} is not known"))));
        };
        if attempt.ended.is_none() {
            change(attempt);
            attempt.orders.notify_one();
        }
        Ok(Ok(()))
    }
}

impl Driver for Mock {
    fn start(&self, spec: StartSpec) -> BoxFuture<'_, Reply<Started, StartFailure>> {
        Box::pin(async move { self.begin(spec) })
    }

    fn signal(&self, id: AttemptId, signal: i32) -> BoxFuture<'_, Reply<()>> {
        Box::pin(async move { self.order(&id, |attempt| attempt.signals.push(signal)) })
    }

    fn stop(&self, id: AttemptId, signal: i32, timeout: Duration) -> BoxFuture<'_, Reply<()>> {
        Box::pin(async move {
            self.order(&id, |attempt| {
                let kill_at = Instant::now() + timeout;
                attempt.kill_at = Some(attempt.kill_at.map_or(kill_at, |known| known.min(kill_at)));
                attempt.stopping = true;
                if !timeout.is_zero() {
                    attempt.signals.push(signal);
                }
            })
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Known>, Gone>> {
        Box::pin(async move {
            let shared = self.present()?;
            let mut known: Vec<Known> =
                shared.attempts.iter().map(|(id, attempt)| known(id, attempt)).collect();
            known.sort_by_key(|known| known.pid);
            Ok(known)
        })
    }

    fn ends(&self) -> Ends {
        self.board.subscribe()
    }

    fn collect(&self, id: AttemptId) -> BoxFuture<'_, Reply<()>> {
        Box::pin(async move {
            let mut shared = self.present()?;
            if shared.attempts.get(&id).is_some_and(|attempt| attempt.ended.is_none()) {
                return Ok(Err(refused("running", format!("{id} has not ended"))));
            }
            shared.attempts.remove(&id);
            self.board.remove(&id);
            Ok(Ok(()))
        })
    }

    fn set_deadline(&self, id: AttemptId, boot_ms: Option<u64>) -> BoxFuture<'_, Reply<()>> {
        Box::pin(async move { self.order(&id, |attempt| attempt.deadline = boot_ms.map(instant_of)) })
    }

    fn stats(&self, id: AttemptId) -> BoxFuture<'_, Reply<Usage>> {
        Box::pin(async move {
            let shared = self.present()?;
            let unknown = || refused("unknown", format!("{id} is not known"));
            Ok(shared.attempts.get(&id).map(|attempt| attempt.usage).ok_or_else(unknown))
        })
    }
}

fn known(id: &AttemptId, attempt: &Attempt) -> Known {
    let state = match &attempt.ended {
        None => KnownState::Running { stopping: attempt.stopping },
        Some(ended) => KnownState::Ended(Box::new(ended.clone())),
    };
    Known { id: id.clone(), pid: attempt.started.pid, started_at_ms: attempt.started.started_at_ms, state }
}

/// Whether a signal ends a mock: the ones that end a process without handlers, but not those that stop or only tell it.
fn kills(signal: i32, ignores_term: bool) -> bool {
    match signal {
        libc::SIGKILL => true,
        libc::SIGCHLD | libc::SIGCONT | libc::SIGURG | libc::SIGWINCH | libc::SIGSTOP | libc::SIGTSTP => {
            false
        }
        _ => !ignores_term,
    }
}

/// Boot time is real while the runtime's may be paused: the distance from now is what counts.
fn instant_of(boot_ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(boot_ms.saturating_sub(clock::boot_ms()))
}

fn failure(step: &str, errno: Option<i32>, message: String) -> StartFailure {
    StartFailure { step: step.into(), errno, message, hopeless: errno != Some(libc::EAGAIN) }
}

fn refused(kind: &str, message: String) -> Refused {
    Refused { kind: kind.into(), message }
}

fn parse(script: &str) -> Result<Vec<Statement>, String> {
    script.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(parse_statement).collect()
}

fn parse_statement(statement: &str) -> Result<Statement, String> {
    let (word, rest) = statement.split_once(' ').unwrap_or((statement, ""));
    let wrong = || format!("script: {statement:?} is not understood");
    Ok(match word {
        "run" if rest == "forever" => Statement::Run(None),
        "run" => Statement::Run(Some(parse_duration(rest).ok_or_else(wrong)?)),
        "print" => Statement::Print(rest.into()),
        "exit" => Statement::End(EndCause::Exit(rest.parse().map_err(|_| wrong())?)),
        "die" => Statement::End(EndCause::Signal(rest.parse().map_err(|_| wrong())?)),
        "oom" => Statement::End(EndCause::Oom),
        "ignore-term" => Statement::IgnoreTerm,
        "use" => {
            let numbers: Option<Vec<u64>> = rest.split(' ').map(|word| word.parse().ok()).collect();
            let Some(&[memory_bytes, cpu_ms, processes]) = numbers.as_deref() else { return Err(wrong()) };
            Statement::Use { memory_bytes, cpu_us: cpu_ms * 1000, processes: processes as u32 }
        }
        "fail-start" => Statement::FailStart(match rest {
            "ENOENT" => libc::ENOENT,
            "EACCES" => libc::EACCES,
            "EAGAIN" => libc::EAGAIN,
            _ => return Err(wrong()),
        }),
        _ => return Err(wrong()),
    })
}

fn parse_duration(text: &str) -> Option<Duration> {
    if let Some(ms) = text.strip_suffix("ms") {
        return ms.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{self, Behaviour, Subject};
    use super::*;

    struct Mocks(Mock);

    impl Subject for Mocks {
        fn driver(&self) -> Arc<dyn Driver> {
            Arc::new(self.0.clone())
        }

        fn shape(&self, spec: &mut StartSpec, behaviour: Behaviour) {
            let script = match behaviour {
                Behaviour::Forever => "run forever",
                Behaviour::IgnoresTerm => "ignore-term; run forever",
                Behaviour::Exits(code) => return spec.args = vec![format!("run 5ms; exit {code}")],
                Behaviour::Prints(text) => return spec.args = vec![format!("print {text}; exit 1")],
                Behaviour::Missing => "fail-start ENOENT",
            };
            spec.args = vec![script.into()];
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_mock_keeps_every_promise_of_a_driver() {
        conformance::all(&Mocks(Mock::default())).await;
    }

    #[test]
    fn a_script_that_is_not_understood_says_so() {
        assert!(parse("run 5ms; exit 7").is_ok());
        for wrong in ["run", "run fast", "exit x", "fail-start", "dance", "use 1 2"] {
            assert!(parse(wrong).unwrap_err().contains(wrong));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_uses_is_in_the_script() {
        let mock = Mock::default();
        let id = AttemptId { alloc: 1, task: "t".into(), attempt: 0 };
        let mut spec = StartSpec::new(id.clone(), "mock", "/logs");
        spec.args = ["use 5000000 7 3", "use 4000000 9 2", "run forever"].map(str::to_owned).to_vec();
        mock.start(spec).await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let wanted = Usage {
            memory_bytes: Some(4_000_000),
            memory_peak_bytes: Some(5_000_000),
            cpu_us: Some(9000),
            processes: 2,
        };
        assert_eq!(mock.stats(id).await.unwrap(), Ok(wanted));
    }

    #[tokio::test(start_paused = true)]
    async fn time_passes_only_when_it_is_told_to() {
        let mock = Mock::default();
        let id = AttemptId { alloc: 1, task: "t".into(), attempt: 0 };
        let mut spec = StartSpec::new(id, "mock", "/logs");
        spec.args = vec!["run 3600s".into(), "exit 3".into()];
        let mut ends = mock.ends();
        mock.start(spec).await.unwrap().unwrap();
        let end = ends.next().await.unwrap();
        assert_eq!((end.cause, end.ran_ms), (EndCause::Exit(3), 3_600_000));
    }
}
