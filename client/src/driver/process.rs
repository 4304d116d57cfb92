//! Runs processes, by asking the keeper.
//!
//! One task owns the connection. When it breaks it is made again, ends are pushed again, and requests that were on their way
//! are repeated - all but a signal, which could arrive twice and is answered with [`Gone`].

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::BytesMut;
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::convert::message_of;
use super::ends::{Board, Ends};
use super::{
    AttemptId, BoxFuture, Driver, Gone, Known, KnownState, Reply, StartFailure, StartSpec, Started, Usage,
};
use crate::keeper::message::{
    self, Answer, Ask, Hello, Request, Say, VERSION, VERSION_CONFINES, VERSION_OLDEST,
};
use crate::keeper::{Connector, frame, with_short_path};
use crate::limits::{FRAME_BYTES_MAX, KEEPER_PATIENCE, KEEPER_REQUESTS_QUEUED};

/// The pauses between two tries to reach the keeper.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_millis(500);

/// Whether the keeper can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Connected to the keeper with this process id.
    Connected {
        /// The keeper's process.
        keeper_pid: u32,
        /// How many keepers died under its guard.
        deaths: u32,
    },
    /// Not connected; the driver goes on trying. A keeper whose guard lives is back within milliseconds; one that stays away
    /// can only be made anew by a new agent process.
    Away {
        /// What the last try met.
        why: String,
    },
}

/// The driver. Dropping it closes the connection and touches no task.
#[derive(Debug)]
pub struct Processes {
    requests: mpsc::Sender<Call>,
    board: Board,
    status: watch::Receiver<Status>,
}

#[derive(Debug)]
struct Call {
    ask: Ask,
    /// Whether it may be sent again on another connection.
    repeatable: bool,
    reply: oneshot::Sender<Result<Say, Gone>>,
}

impl Processes {
    /// Talks to the keeper that `connector` names. Must be called within a tokio runtime.
    pub fn new(connector: &Connector) -> Processes {
        Processes::at(connector.socket.clone())
    }

    /// Talks to whichever keeper serves `socket`, now or later.
    pub fn at(socket: PathBuf) -> Processes {
        let (requests, queue) = mpsc::channel(KEEPER_REQUESTS_QUEUED);
        let board = Board::default();
        let (status, watched) = watch::channel(Status::Away { why: "not tried yet".into() });
        let worker = Worker {
            socket,
            queue,
            board: board.clone(),
            status,
            waiting: HashMap::new(),
            next_seq: 1,
            version: 0,
        };
        tokio::spawn(worker.run());
        Processes { requests, board, status: watched }
    }

    /// Returns the state of the connection, to be watched.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    async fn call(&self, ask: Ask, repeatable: bool) -> Result<Say, Gone> {
        let until = Instant::now() + KEEPER_PATIENCE;
        let (reply, answer) = oneshot::channel();
        let late = |_| Gone { why: format!("no answer within {KEEPER_PATIENCE:?}") };
        let closed = || Gone { why: "the driver was shut down".into() };
        timeout_at(until, self.requests.send(Call { ask, repeatable, reply }))
            .await
            .map_err(late)?
            .map_err(|_| closed())?;
        timeout_at(until, answer).await.map_err(late)?.map_err(|_| closed())?
    }

    async fn order(&self, ask: Ask, repeatable: bool) -> Reply<()> {
        match self.call(ask, repeatable).await? {
            Say::Done(_) => Ok(Ok(())),
            Say::Refused(refused) => Ok(Err(refused.into())),
            other => Err(unexpected(&other)),
        }
    }
}

impl Driver for Processes {
    fn start(&self, spec: StartSpec) -> BoxFuture<'_, Reply<Started, StartFailure>> {
        Box::pin(async move {
            let start = match message_of(spec) {
                Ok(start) => start,
                Err(failure) => return Ok(Err(failure)),
            };
            if start.encoded_len() > FRAME_BYTES_MAX / 2 {
                return Ok(Err(StartFailure {
                    step: "args".into(),
                    errno: Some(libc::E2BIG),
                    message: "args: arguments and environment are larger than the kernel takes".into(),
                    hopeless: true,
                }));
            }
            match self.call(Ask::Start(Box::new(start)), true).await? {
                Say::Started(started) => {
                    Ok(Ok(Started { pid: started.pid, started_at_ms: started.at_wall_ms }))
                }
                Say::StartFailed(failed) => Ok(Err(StartFailure {
                    step: failed.step,
                    errno: (failed.errno != 0).then_some(failed.errno),
                    message: failed.message,
                    hopeless: failed.hopeless,
                })),
                Say::Refused(refused) => Ok(Err(StartFailure {
                    step: "keeper".into(),
                    errno: None,
                    hopeless: refused.kind == "invalid",
                    message: format!("keeper: {}", refused.message),
                })),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn signal(&self, id: AttemptId, signal: i32) -> BoxFuture<'_, Reply<()>> {
        Box::pin(self.order(Ask::Signal(message::Signal { id: id.into(), signal }), false))
    }

    fn stop(&self, id: AttemptId, signal: i32, timeout: Duration) -> BoxFuture<'_, Reply<()>> {
        let timeout_ms = timeout.as_millis() as u64;
        Box::pin(self.order(Ask::Stop(message::Stop { id: id.into(), signal, timeout_ms }), true))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Known>, Gone>> {
        Box::pin(async move {
            let mut known = Vec::new();
            let mut after = 0;
            loop {
                match self.call(Ask::List(message::List { after }), true).await? {
                    Say::Listing(page) => {
                        known.extend(page.items.into_iter().map(|item| self.known(item)));
                        if page.next == 0 {
                            return Ok(known);
                        }
                        after = page.next;
                    }
                    other => return Err(unexpected(&other)),
                }
            }
        })
    }

    fn ends(&self) -> Ends {
        self.board.subscribe()
    }

    fn collect(&self, id: AttemptId) -> BoxFuture<'_, Reply<()>> {
        Box::pin(async move {
            let reply = self.order(Ask::Collect(message::Collect { id: id.clone().into() }), true).await?;
            if reply.is_ok() {
                self.board.remove(&id);
            }
            Ok(reply)
        })
    }

    fn set_deadline(&self, id: AttemptId, boot_ms: Option<u64>) -> BoxFuture<'_, Reply<()>> {
        let fence = message::SetDeadline { id: id.into(), boot_ms: boot_ms.unwrap_or(0) };
        Box::pin(self.order(Ask::SetDeadline(fence), true))
    }

    fn stats(&self, id: AttemptId) -> BoxFuture<'_, Reply<Usage>> {
        Box::pin(async move {
            match self.call(Ask::Stats(message::Stats { id: id.into() }), true).await? {
                Say::Usage(usage) => Ok(Ok(usage.into())),
                Say::Refused(refused) => Ok(Err(refused.into())),
                other => Err(unexpected(&other)),
            }
        })
    }
}

impl Processes {
    fn known(&self, item: message::Item) -> Known {
        let id = AttemptId::from(item.id);
        let state = match item.ended {
            None => KnownState::Running { stopping: item.stopping },
            // The pushed one has the tail.
            Some(ended) => KnownState::Ended(Box::new(self.board.get(&id).unwrap_or_else(|| ended.into()))),
        };
        Known { id, pid: item.pid, started_at_ms: item.started_wall_ms, state }
    }
}

/// Owns the connection.
struct Worker {
    socket: PathBuf,
    queue: mpsc::Receiver<Call>,
    board: Board,
    status: watch::Sender<Status>,
    /// Sent and not answered, bounded like the queue.
    waiting: HashMap<u64, Call>,
    next_seq: u64,
    /// The protocol that the connected keeper speaks.
    version: u32,
}

impl Worker {
    async fn run(mut self) {
        let mut pause = RETRY_MIN;
        loop {
            match self.connect().await {
                Ok((stream, buffer)) => {
                    pause = RETRY_MIN;
                    let Err(error) = self.serve(stream, buffer).await else { return };
                    self.status.send_replace(Status::Away { why: error.to_string() });
                    self.give_up_unrepeatable();
                }
                Err(error) => {
                    self.status.send_replace(Status::Away { why: error.to_string() });
                    self.waiting.retain(|_, call| !call.reply.is_closed());
                    if self.queue.is_closed() {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Connects and greets.
    async fn connect(&mut self) -> io::Result<(UnixStream, BytesMut)> {
        let mut stream = connect(&self.socket).await?;
        let hello = Ask::Hello(Hello { version: VERSION, watch: true });
        stream.write_all(&encode(1, &hello)?).await?;
        let mut buffer = BytesMut::new();
        let answer = loop {
            match frame::decode::<Answer>(&mut buffer).map_err(io::Error::other)? {
                Some(answer) => break answer,
                None if stream.read_buf(&mut buffer).await? == 0 => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                None => {}
            }
        };
        let Some(Say::Welcome(welcome)) = answer.say else { return Err(io::Error::other("no welcome")) };
        if welcome.version < VERSION_OLDEST || welcome.version_oldest > VERSION {
            return Err(io::Error::other(format!("the keeper speaks protocol {}", welcome.version)));
        }
        self.version = welcome.version;
        self.status
            .send_replace(Status::Connected { keeper_pid: welcome.keeper_pid, deaths: welcome.deaths });
        Ok((stream, buffer))
    }

    /// Serves one connection. Returns when the driver was dropped, fails when the connection breaks.
    async fn serve(&mut self, stream: UnixStream, mut buffer: BytesMut) -> io::Result<()> {
        let (mut reader, mut writer) = stream.into_split();
        let mut out = Vec::new();
        // Another keeper may speak another protocol than the one that these were meant for.
        for (seq, call) in std::mem::take(&mut self.waiting) {
            self.send(seq, call, &mut out);
        }
        loop {
            while let Some(answer) = frame::decode::<Answer>(&mut buffer).map_err(io::Error::other)? {
                self.hear(answer);
            }
            let may_take = self.waiting.len() < KEEPER_REQUESTS_QUEUED && out.is_empty();
            tokio::select! {
                // A write must not keep answers from being read, or both sides could wait for each other.
                written = writer.write(&out), if !out.is_empty() => {
                    out.drain(..written?);
                }
                read = reader.read_buf(&mut buffer) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                call = self.queue.recv(), if may_take => {
                    let Some(call) = call else { return Ok(()) };
                    self.take(call, &mut out);
                    while out.len() < 64 << 10 && self.waiting.len() < KEEPER_REQUESTS_QUEUED {
                        let Ok(call) = self.queue.try_recv() else { break };
                        self.take(call, &mut out);
                    }
                }
            }
        }
    }

    /// Answers those calls whose first sending may have arrived and whose second would do harm.
    fn give_up_unrepeatable(&mut self) {
        let (kept, lost) = self.waiting.drain().partition(|(_, call)| call.repeatable);
        self.waiting = kept;
        let lost: HashMap<u64, Call> = lost;
        for call in lost.into_values() {
            let _ = call.reply.send(Err(Gone { why: "the connection to the keeper broke".into() }));
        }
    }

    fn take(&mut self, call: Call, out: &mut Vec<u8>) {
        self.waiting.retain(|_, call| !call.reply.is_closed());
        let seq = self.next_seq;
        self.next_seq += 1;
        self.send(seq, call, out);
    }

    fn send(&mut self, seq: u64, call: Call, out: &mut Vec<u8>) {
        if let Some(say) = beyond(self.version, &call.ask) {
            // The caller may have given up.
            let _ = call.reply.send(Ok(say));
            return;
        }
        match encode(seq, &call.ask) {
            Ok(bytes) => {
                out.extend(bytes);
                self.waiting.insert(seq, call);
            }
            Err(error) => drop(call.reply.send(Err(Gone { why: error.to_string() }))),
        }
    }

    fn hear(&mut self, answer: Answer) {
        match answer.say {
            Some(Say::Ended(ended)) => self.board.put(ended.into()),
            Some(say) => {
                if let Some(call) = self.waiting.remove(&answer.seq) {
                    // The caller may have given up.
                    let _ = call.reply.send(Ok(say));
                }
            }
            None => {}
        }
    }
}

/// Answers in the place of a keeper that is too old to do all that is asked, and would leave out what it does not know.
fn beyond(version: u32, ask: &Ask) -> Option<Say> {
    let Ask::Start(start) = ask else { return None };
    let asks = start.confine.as_ref().is_some_and(message::Confine::asks_for_anything);
    (asks && version < VERSION_CONFINES).then(|| {
        Say::StartFailed(message::StartFailed {
            step: "keeper".into(),
            errno: 0,
            message: "keeper: the one that runs is of an older release and cannot enforce limits or confine a task; it \
                      is replaced when the agent is restarted while no task runs on this node"
                .into(),
            // Another node, or this one after that.
            hopeless: false,
        })
    })
}

async fn connect(socket: &Path) -> io::Result<UnixStream> {
    // Connecting to a local socket does not wait unless the backlog is full, so that the open directory may be kept in a
    // closure that cannot be async.
    let stream = with_short_path(socket, |path| std::os::unix::net::UnixStream::connect(path))?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

fn encode(seq: u64, ask: &Ask) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    frame::encode(&Request { seq, ask: Some(ask.clone()) }, &mut out).map_err(io::Error::other)?;
    Ok(out)
}

fn unexpected(say: &Say) -> Gone {
    Gone { why: format!("the keeper answered something else: {say:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_a_keeper_nobody_answers_and_the_status_says_why() {
        let driver = Processes::at("/nonexistent/keeper.sock".into());
        let begun = Instant::now();
        driver.list().await.expect_err("there is no keeper");
        assert!(begun.elapsed() >= KEEPER_PATIENCE);
        let Status::Away { why } = driver.status().borrow().clone() else { panic!("it cannot be connected") };
        assert!(why.contains("No such file"), "{why}");
    }

    #[test]
    fn a_keeper_of_an_older_protocol_is_not_asked_for_what_it_would_leave_out() {
        let id = AttemptId { alloc: 1, task: "web".into(), attempt: 1 };
        let plain = StartSpec::new(id, "/bin/true", "/logs");
        let mut limited = plain.clone();
        limited.limits.pids = Some(5);
        let ask = |spec: &StartSpec| Ask::Start(Box::new(message_of(spec.clone()).expect("UTF-8")));
        assert_eq!(beyond(1, &ask(&plain)), None, "what it has always done");
        assert_eq!(beyond(VERSION_CONFINES, &ask(&limited)), None);
        let Some(Say::StartFailed(failed)) = beyond(1, &ask(&limited)) else { panic!("it must be refused") };
        assert!(failed.message.contains("older release") && !failed.hopeless, "{failed:?}");
    }

    #[tokio::test]
    async fn a_start_that_no_frame_can_carry_fails_by_itself() {
        let driver = Processes::at("/nonexistent/keeper.sock".into());
        let id = AttemptId { alloc: 1, task: "web".into(), attempt: 1 };
        let mut spec = StartSpec::new(id, "/bin/true", "/logs");
        spec.args = vec!["x".repeat(3 << 20)];
        let failure = driver.start(spec).await.expect("decided here").expect_err("too large");
        assert_eq!(
            (failure.step.as_str(), failure.errno, failure.hopeless),
            ("args", Some(libc::E2BIG), true)
        );
    }
}
