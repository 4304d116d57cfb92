//! `minijob exec`: a command beside a running task, as if it were typed there.

use std::io::{self, IsTerminal, Read, Write};
use std::pin::Pin;

use bytes::Bytes;
use futures::future::{Either, pending};
use futures::{Stream, StreamExt};
use proto::error::{Error, Kind};
use proto::wire::v1::{self, exec_end, exec_input, exec_output, exec_request};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::args::Global;
use crate::connect::{self, Client, Servers};
use crate::exit::{Exit, Failure};
use crate::limits::{EXEC_INPUT_BYTES, EXEC_QUEUE};
use crate::runtime;
use crate::terminal::{self, Raw};

const EXAMPLES: &str = "\
Examples:
  minijob exec web -- ls -l                      beside the only task of the only allocation of a job
  minijob exec -it web.api.0 nginx -- sh         a shell; it ends with exit or Ctrl-D
  minijob exec -i db -- psql < dump.sql          with standard input

The command runs as the task does: same user, environment, directory and limits; it ends with the task. Its exit code is passed
on: 128 and the number of a signal, 127 when there is no such program, 126 when it cannot be run.";

/// What `exec` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Passes standard input on
    #[arg(short, long)]
    pub interactive: bool,
    /// Gives the command a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Runs it as another user of the node [default: the task's]
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// An allocation (job.group.index, or the beginning of its id), or a job that has only one
    #[arg(value_name = "ALLOC")]
    pub alloc: String,
    /// The task [default: the only one]
    pub task: Option<String>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// Runs the command and returns what the other one ended with.
///
/// # Errors
/// The server's refusal; that of the agent; the end of the connection.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let at_terminal = io::stdin().is_terminal();
    if args.tty && args.interactive && !at_terminal {
        let error = Error::new(Kind::Invalid, "standard input is no terminal, which -it passes on");
        return Err(error.hint("leave out -t").into());
    }
    let start = start(args, global);
    let has_input = args.interactive;
    runtime::small(async move {
        let servers = Servers::new(global)?;
        let (input, mut output) = open(&servers, start).await?;
        // From here on every way out must pass the end of this scope, which restores the terminal.
        let raw = (args.tty && has_input).then(Raw::enter).transpose().map_err(cannot_raw)?;
        if has_input {
            read_stdin(input.clone())?;
        }
        let result = tokio::select! {
            end = receive(&mut output) => end,
            never = resize(input, args.tty) => match never {},
            signal = ended_by() => Ok(Exit(128 + signal)),
        };
        drop(raw);
        result
    })
}

fn start(args: &Args, global: &Global) -> v1::ExecStart {
    let (namespace, alloc) = global.qualify(&args.alloc);
    let terminal = args.tty.then(|| v1::Terminal {
        term: std::env::var("TERM").unwrap_or_default(),
        window: terminal::size().map(|(rows, columns)| v1::Window { rows, columns }),
    });
    let command = v1::ExecCommand {
        argv: args.command.clone(),
        user: args.user.clone().unwrap_or_default(),
        stdin: args.interactive,
        terminal,
    };
    v1::ExecStart {
        namespace: namespace.to_owned(),
        alloc: alloc.to_owned(),
        task: args.task.clone().unwrap_or_default(),
        command: Some(command),
    }
}

type Input = mpsc::Sender<v1::ExecRequest>;
type Output = Pin<Box<dyn Stream<Item = Result<v1::ExecOutput, Status>> + Send>>;

/// Opens the call. A connection that breaks once the command may have begun is not tried again: it must not run twice.
async fn open(servers: &Servers, start: v1::ExecStart) -> Result<(Input, Output), Error> {
    let call = |mut client: Client| {
        let first = v1::ExecRequest { kind: Some(exec_request::Kind::Start(start.clone())) };
        let (input, queue) = mpsc::channel(EXEC_QUEUE);
        async move {
            // An empty queue has room.
            let _ = input.try_send(first);
            match client.exec(ReceiverStream::new(queue)).await {
                Ok(answer) => Ok(answer.map(|output| (input, output.boxed() as Output))),
                Err(status) if std::error::Error::source(&status).is_some() => Err(not_known(&status)),
                Err(status) => Err(status),
            }
        }
    };
    servers.ask(call).await
}

fn not_known(status: &Status) -> Status {
    let error = connect::refusal(status);
    // A kind for which nobody tries again by himself.
    Error::new(Kind::Internal, error.message)
        .hint("whether the command began is not known; if it did, it was hung up")
        .into()
}

fn cannot_raw(error: io::Error) -> Error {
    Error::new(Kind::Internal, format!("cannot use the terminal: {error}"))
}

/// Passes standard input on, on a thread of its own: a read of a terminal cannot be called off, and the process ends without it.
fn read_stdin(input: Input) -> Result<(), Error> {
    let read = move || {
        let mut buffer = vec![0; EXEC_INPUT_BYTES];
        loop {
            let kind = match io::stdin().lock().read(&mut buffer) {
                Ok(count @ 1..) => exec_input::Kind::Stdin(Bytes::copy_from_slice(&buffer[..count])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // What cannot be read has ended.
                Ok(_) | Err(_) => exec_input::Kind::StdinEnd(v1::StdinEnd {}),
            };
            let is_last = matches!(kind, exec_input::Kind::StdinEnd(_));
            if input.blocking_send(message(kind)).is_err() || is_last {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("stdin".into()).spawn(read);
    thread
        .map(drop)
        .map_err(|error| Error::new(Kind::Internal, format!("cannot read standard input: {error}")))
}

fn message(kind: exec_input::Kind) -> v1::ExecRequest {
    let input = v1::ExecInput { kind: Some(kind) };
    v1::ExecRequest { kind: Some(exec_request::Kind::Input(input)) }
}

/// Tells the other side the size of this terminal whenever it changes. Holds the way to it open.
async fn resize(input: Input, tty: bool) -> std::convert::Infallible {
    let mut changes = match signal(SignalKind::window_change()) {
        Ok(changes) if tty => Either::Left(changes),
        _ => Either::Right(()),
    };
    loop {
        match &mut changes {
            Either::Left(changes) => changes.recv().await,
            Either::Right(()) => pending().await,
        };
        if let Some((rows, columns)) = terminal::size() {
            // A size that is on its way is soon followed by the right one.
            let _ = input.try_send(message(exec_input::Kind::Window(v1::Window { rows, columns })));
        }
    }
}

/// Waits for a signal that ends this process, so that it ends by the way that restores the terminal; returns its number.
async fn ended_by() -> u8 {
    let one = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut signals) => signals.recv().await,
            Err(_) => pending().await,
        };
        kind.as_raw_value() as u8
    };
    tokio::select! {
        number = one(SignalKind::interrupt()) => number,
        number = one(SignalKind::terminate()) => number,
        number = one(SignalKind::hangup()) => number,
        number = one(SignalKind::quit()) => number,
    }
}

/// Hands what comes to the thread that writes it, until the end.
async fn receive(from: &mut Output) -> Result<Exit, Failure> {
    let (writer, written) = writer()?;
    let end = loop {
        let Some(said) = from.next().await else {
            let message = "the server ended the call before the end of the command was known";
            break Err(Error::new(Kind::Unavailable, message).into());
        };
        let piece = match said {
            Err(status) => break Err(broke(&status).into()),
            Ok(v1::ExecOutput { kind: Some(exec_output::Kind::Stdout(bytes)) }) => (false, bytes),
            Ok(v1::ExecOutput { kind: Some(exec_output::Kind::Stderr(bytes)) }) => (true, bytes),
            Ok(v1::ExecOutput { kind: Some(exec_output::Kind::End(end)) }) => break ended(end),
            // A newer server may say what this version does not know.
            Ok(v1::ExecOutput { kind: None }) => continue,
        };
        if writer.send(piece).await.is_err() {
            // It says below why it takes no more.
            break Ok(Exit::DONE);
        }
    };
    drop(writer);
    match written.await {
        Ok(Err(error)) => Err(Failure::Output(error)),
        _ => end,
    }
}

type Pieces = mpsc::Sender<(bool, Bytes)>;

/// Writes on a thread of its own: a reader of ours that stands still (a pager) must not keep the connection from being served.
fn writer() -> Result<(Pieces, oneshot::Receiver<io::Result<()>>), Error> {
    let (pieces, mut queue) = mpsc::channel::<(bool, Bytes)>(EXEC_QUEUE);
    let (done, written) = oneshot::channel();
    let write = move || {
        let mut result = Ok(());
        while let (Ok(()), Some((is_stderr, bytes))) = (&result, queue.blocking_recv()) {
            if is_stderr {
                // Nobody is left to complain to.
                let _ = io::stderr().lock().write_all(&bytes);
            } else {
                let mut stdout = io::stdout().lock();
                result = stdout.write_all(&bytes).and_then(|()| stdout.flush());
            }
        }
        drop(queue);
        let _ = done.send(result);
    };
    let thread = std::thread::Builder::new().name("stdout".into()).spawn(write);
    let none = |error| Error::new(Kind::Internal, format!("cannot write the output: {error}"));
    thread.map(|_| (pieces, written)).map_err(none)
}

fn broke(status: &Status) -> Error {
    let error = connect::refusal(status);
    match status.code() {
        Code::Unavailable | Code::Unknown => {
            error.hint("the command is hung up; run it again when the servers are there")
        }
        _ => error,
    }
}

fn ended(end: v1::ExecEnd) -> Result<Exit, Failure> {
    let code = |number: u32| Exit(u8::try_from(number).unwrap_or(u8::MAX));
    match end.kind {
        Some(exec_end::Kind::Code(number)) => Ok(code(number)),
        Some(exec_end::Kind::Signal(number)) => Ok(code(128 + number)),
        Some(exec_end::Kind::NotStarted(v1::NotStarted { code: number, why })) => {
            let error = refusal(why.unwrap_or_default());
            match number {
                0 => Err(error.into()),
                number => Err(Failure::Ended(error, code(number))),
            }
        }
        Some(exec_end::Kind::Broken(why)) => Err(refusal(why).into()),
        None => {
            Err(Error::new(Kind::Internal, "the command ended in a way that this version does not know")
                .into())
        }
    }
}

fn refusal(why: v1::Refused) -> Error {
    let kind = Kind::from_word(&why.kind).unwrap_or(Kind::Refused);
    Error::new(kind, why.message).hint(why.hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(kind: exec_end::Kind) -> (Option<String>, u8) {
        match ended(v1::ExecEnd { kind: Some(kind) }) {
            Ok(exit) => (None, exit.0),
            Err(failure) => {
                let (told, code) = failure.verdict();
                (told.map(|error| error.message), code)
            }
        }
    }

    #[test]
    fn the_exit_code_is_the_commands_own_as_shells_have_it() {
        assert_eq!(verdict(exec_end::Kind::Code(7)), (None, 7));
        assert_eq!(verdict(exec_end::Kind::Signal(9)), (None, 137));
        let why =
            |kind: &str| Some(v1::Refused { kind: kind.into(), message: "no".into(), hint: String::new() });
        let not = |code, kind| exec_end::Kind::NotStarted(v1::NotStarted { code, why: why(kind) });
        assert_eq!(verdict(not(127, "refused")), (Some("no".into()), 127));
        assert_eq!(verdict(not(0, "not_found")), (Some("no".into()), 3));
        assert_eq!(verdict(not(0, "of the future")), (Some("no".into()), 1));
    }
}
