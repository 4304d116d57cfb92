//! Runs one command beside a task for a server, on a connection of its own: however much it says, no heartbeat waits for it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use proto::error::{Error, Kind};
use proto::ids::AllocId;
use proto::wire::v1::{
    ExecCommand, ExecEnd, ExecInput, ExecOutput, ExecUp, NotStarted, OpenExec, Terminal, Window, exec_end,
    exec_input, exec_output, exec_up,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::dial::Way;
use super::reach::{Reach, does_not_run, refused};
use crate::driver::{Known, KnownState};
use crate::exec::place::{Place, PlaceError, hold};
use crate::exec::spawn::{Ended, Running, SpawnError, Spec, Wires, spawn};
use crate::exec::wire::{Wire, watched};
use crate::limits::{EXEC_CHUNK_BYTES, EXEC_LAST_BYTES, EXEC_LAST_WORD, EXEC_QUEUE, EXEC_QUIET};
use crate::tasks::user;

/// End of transmission: what a terminal takes for the end of its input.
const EOT: &[u8] = &[4];

/// Rows and columns of a terminal whose size nobody said.
const TERMINAL_SIZE: (u16, u16) = (24, 80);

type Up = mpsc::Sender<ExecUp>;

/// Serves one ticket: dials the server, runs the command, and tells its end. `cancel` ends it when the agent is stopped.
pub(super) async fn serve(
    reach: Arc<Reach>,
    server: String,
    way: Way,
    cancel: CancellationToken,
    ask: OpenExec,
) {
    let slot = reach.execs.clone().try_acquire_owned();
    let mut client = match way.dial(&server).await {
        Ok(client) => client,
        Err(error) => return tracing::warn!(%error, "cannot run the command that was asked for"),
    };
    let (up, queue) = mpsc::channel(EXEC_QUEUE);
    // An empty queue has room.
    let _ = up.try_send(ExecUp { kind: Some(exec_up::Kind::Ticket(ask.ticket)) });
    let mut down = match client.exec(way.request(ReceiverStream::new(queue))).await {
        Ok(down) => down.into_inner(),
        Err(status) => return tracing::debug!(%status, "nobody wants the command any more"),
    };
    let end = match slot {
        Ok(_slot) => tokio::select! {
            end = run(&reach, ask, &mut down, &up) => end,
            () = up.closed() => return,
            () = cancel.cancelled() => broken("the agent on its node is being stopped"),
        },
        Err(_) => not_started(
            0,
            Error::new(Kind::Unavailable, "this node runs as many commands as it may")
                .hint("try again when one has ended"),
        ),
    };
    let last = async {
        let output = ExecOutput { kind: Some(exec_output::Kind::End(ExecEnd { kind: Some(end) })) };
        let _ = up.send(ExecUp { kind: Some(exec_up::Kind::Output(output)) }).await;
        drop(up);
        // The server closes when it has all of it.
        while let Ok(Some(_)) = down.message().await {}
    };
    if timeout(EXEC_LAST_WORD, last).await.is_err() {
        tracing::debug!("the end of a command was not taken");
    }
}

async fn run(reach: &Reach, ask: OpenExec, down: &mut Streaming<ExecInput>, up: &Up) -> exec_end::Kind {
    let has_terminal = ask.command.as_ref().is_some_and(|command| command.terminal.is_some());
    let (task_end, mut running) = match begin(reach, ask).await {
        Ok(begun) => begun,
        Err(not_begun) => return not_begun,
    };
    let over = CancellationToken::new();
    let Wires { stdin, stdout, stderr, ended } = running.wires();
    let output = async {
        let stderr = async {
            if let Some(stderr) = stderr {
                carry(stderr, exec_output::Kind::Stderr, &over, up).await;
            }
        };
        futures::join!(carry(stdout, exec_output::Kind::Stdout, &over, up), stderr);
    };
    let exit = async {
        let end = ended.await.unwrap_or(Ended::Unknown);
        over.cancel();
        end
    };
    let end = tokio::select! {
        (end, ()) = async { futures::join!(exit, output) } => end,
        () = feed(stdin, has_terminal, down) => return broken("its caller has gone"),
        _ = task_end.readable() => return broken("its task has ended"),
    };
    running.release();
    match end {
        Ended::Code(code) => exec_end::Kind::Code(code),
        Ended::Signal(signal) => exec_end::Kind::Signal(signal),
        Ended::Unknown => broken("nobody knows how it ended"),
    }
}

/// Starts the command. Returns what becomes readable when its task ends, and the command.
async fn begin(reach: &Reach, ask: OpenExec) -> Result<(AsyncFd<OwnedFd>, Running), exec_end::Kind> {
    let command = ask.command.unwrap_or_default();
    let refuse = |error: Error| not_started(0, error);
    let place = place(reach, AllocId(ask.alloc_id), &ask.task, &command).await.map_err(refuse)?;
    let cannot =
        |error: std::io::Error| Error::new(Kind::Internal, format!("cannot watch the task: {error}"));
    let pidfd = place.pidfd.try_clone().map_err(cannot).map_err(refuse)?;
    let task_end = watched(pidfd, Interest::READABLE).map_err(cannot).map_err(refuse)?;
    let size = |terminal: Terminal| terminal.window.as_ref().map_or(TERMINAL_SIZE, size_of);
    let spec = Spec { argv: command.argv, stdin: command.stdin, terminal: command.terminal.map(size) };
    let running = spawn(spec, place).await.map_err(|error| {
        let hint = match &error {
            SpawnError::Exec { .. } => {
                "the program is looked up as the task sees the file system and its PATH"
            }
            SpawnError::Enter { .. } => "an agent that runs as root may enter every task",
        };
        not_started(error.code(), Error::new(Kind::Refused, error.to_string()).hint(hint))
    })?;
    tracing::info!(alloc = %AllocId(ask.alloc_id), task = ask.task, pid = running.pid(), "a command begins");
    Ok((task_end, running))
}

/// Finds where a task runs, and as whom the command is to run there.
async fn place(reach: &Reach, id: AllocId, task: &str, command: &ExecCommand) -> Result<Place, Error> {
    let attempt = reach.attempt(id, task).await?;
    let view = reach.view(id).await?;
    let pid =
        view.status.tasks.iter().find(|one| one.name == task).map(|one| one.pid).filter(|pid| *pid != 0);
    let pid = pid.ok_or_else(|| does_not_run(task, id))?;
    let cannot = |error: PlaceError| match error {
        PlaceError::Ended { .. } => does_not_run(task, id),
        error => Error::new(Kind::Refused, error.to_string())
            .hint("an agent that runs as root may look at every task"),
    };
    // In this order: what is held first, and is known to run afterwards, is what was meant, whatever becomes of its number.
    let pidfd = hold(pid).map_err(cannot)?;
    let listed = reach.driver().list().await;
    let listed = listed.map_err(|gone| Error::new(Kind::Unavailable, gone.to_string()).hint("try again"))?;
    let runs = |known: &Known| {
        known.id == attempt && known.pid == pid && matches!(known.state, KnownState::Running { .. })
    };
    if !listed.iter().any(runs) {
        return Err(does_not_run(task, id));
    }
    let mut place = Place::of(pid, pidfd).map_err(cannot)?;
    if let Some(terminal) = &command.terminal {
        place.set("TERM", if terminal.term.is_empty() { "xterm" } else { &terminal.term });
    }
    if !command.user.is_empty() {
        change_user(reach, &mut place, command.user.clone()).await?;
    }
    Ok(place)
}

async fn change_user(reach: &Reach, place: &mut Place, name: String) -> Result<(), Error> {
    let policy = reach.tasks.local.borrow().users.clone();
    let found = reach.tasks.on_disk(move || user::become_named(&name, &policy)).await;
    let found =
        found.map_err(|error| Error::new(Kind::Internal, format!("a defect of the agent: {error}")))?;
    let identity = found.map_err(|error| {
        Error::new(Kind::Refused, error.to_string()).hint("name a user of that node, or leave out --user")
    })?;
    place.become_user(identity.user, &identity.home.display().to_string());
    Ok(())
}

/// Hands on what comes from a command, as long as it runs, and then what is left of it.
async fn carry(wire: &Wire, kind: fn(Bytes) -> exec_output::Kind, over: &CancellationToken, up: &Up) {
    let mut buffer = vec![0; EXEC_CHUNK_BYTES];
    let mut last = 0;
    while last < EXEC_LAST_BYTES {
        let is_over = over.is_cancelled();
        let read = tokio::select! {
            read = wire.read(&mut buffer) => read,
            // Read on by the other rule.
            () = over.cancelled(), if !is_over => continue,
            () = tokio::time::sleep(EXEC_QUIET), if is_over => return,
        };
        // What cannot be read any more has ended as well.
        let Ok(count @ 1..) = read else { return };
        last += if is_over { count } else { 0 };
        let output = ExecOutput { kind: Some(kind(Bytes::copy_from_slice(&buffer[..count]))) };
        if up.send(ExecUp { kind: Some(exec_up::Kind::Output(output)) }).await.is_err() {
            return;
        }
    }
}

/// Hands on what is sent to a command; returns when the server has closed the stream.
async fn feed(stdin: &mut Option<Wire>, has_terminal: bool, down: &mut Streaming<ExecInput>) {
    while let Ok(Some(input)) = down.message().await {
        let Some(wire) = stdin else { continue };
        let written = match input.kind {
            Some(exec_input::Kind::Stdin(bytes)) => wire.write_all(&bytes).await,
            Some(exec_input::Kind::StdinEnd(_)) if has_terminal => wire.write_all(EOT).await,
            Some(exec_input::Kind::StdinEnd(_)) => {
                *stdin = None;
                continue;
            }
            Some(exec_input::Kind::Window(window)) => {
                let (rows, columns) = size_of(&window);
                wire.resize(rows, columns);
                continue;
            }
            // A newer server may say what this version does not know.
            None => continue,
        };
        if written.is_err() {
            // It reads no more, and may go on all the same.
            *stdin = None;
        }
    }
}

fn size_of(window: &Window) -> (u16, u16) {
    let bounded = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
    (bounded(window.rows), bounded(window.columns))
}

fn not_started(code: u32, error: Error) -> exec_end::Kind {
    exec_end::Kind::NotStarted(NotStarted { code, why: Some(refused(error)) })
}

fn broken(why: &str) -> exec_end::Kind {
    exec_end::Kind::Broken(refused(Error::new(Kind::Unavailable, format!("the command was ended: {why}"))))
}
