//! Reads the output of a task for servers, on a connection of its own: however much it is, no heartbeat waits for it.

use std::io;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use proto::ids::AllocId;
use proto::time::{Timestamp, now};
use proto::wire::v1::{LogLines, LogsUp, OpenLogs};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::dial::Way;
use crate::allocs::manager::Handle;
use crate::allocs::view::View;
use crate::limits::{LOG_FOLLOW_POLL, LOG_QUEUE};
use crate::logs::Stream;
use crate::logs::ordered::{Lines, Ordered};
use crate::tasks::folders::Folders;

/// Serves one ticket: dials the server, and sends until the end of the output, or until the server has enough.
pub(super) async fn serve(manager: Handle, allocs: PathBuf, server: String, way: Way, ask: OpenLogs) {
    let mut client = match way.dial(&server).await {
        Ok(client) => client,
        Err(error) => return tracing::warn!(%error, "cannot bring the logs that were asked for"),
    };
    let (sender, queue) = mpsc::channel(LOG_QUEUE);
    let send = send_all(manager, allocs, ask, sender);
    let call = async {
        let mut down = client.logs(way.request(ReceiverStream::new(queue))).await?.into_inner();
        while down.message().await?.is_some() {}
        Ok::<_, tonic::Status>(())
    };
    // The server closes when it has enough; then nobody takes from the queue and sending ends too.
    let ((), called) = futures::join!(send, call);
    if let Err(status) = called {
        tracing::debug!(%status, "a server stopped reading logs");
    }
}

async fn send_all(manager: Handle, allocs: PathBuf, ask: OpenLogs, sender: mpsc::Sender<LogsUp>) {
    let ticket = ask.ticket;
    // Says at once which ticket this is: a task that prints nothing may keep the server waiting.
    let hello = LogsUp { ticket, both: ask.both, ..LogsUp::default() };
    if sender.send(hello).await.is_err() {
        return;
    }
    let last = match read(&manager, &allocs, &ask, &sender).await {
        Ok(()) => LogsUp::default(),
        Err(Trouble { error, gone }) => LogsUp { error, gone, ..LogsUp::default() },
    };
    let _ = sender.send(last).await;
}

/// Why output cannot be read.
struct Trouble {
    error: String,
    /// It is kept no longer.
    gone: bool,
}

impl From<String> for Trouble {
    fn from(error: String) -> Self {
        Self { error, gone: false }
    }
}

async fn read(
    manager: &Handle,
    allocs: &Path,
    ask: &OpenLogs,
    sender: &mpsc::Sender<LogsUp>,
) -> Result<(), Trouble> {
    let id = AllocId(ask.alloc_id);
    let view = manager.watch(id).await.map_err(|error| error.to_string())?;
    let mut view = view.ok_or_else(|| Trouble {
        error: format!(
            "its node keeps nothing of allocation {id} (any more): output goes `logs.retain` after the end, or when the disk is low"
        ),
        gone: true,
    })?;
    let group_has_it = view.borrow().spec.group.tasks.contains_key(&ask.task);
    if !group_has_it {
        return Err(format!("allocation {id} has no task `{}`", ask.task).into());
    }
    let folder = Folders::of(&allocs.join(id.to_string()), &ask.task).logs;
    let streams: &[Stream] = match (ask.both, ask.stderr) {
        (true, _) => &Stream::ALL,
        (false, false) => &[Stream::Stdout],
        (false, true) => &[Stream::Stderr],
    };
    let tail = ask.tail.map(|lines| lines as usize);
    let last = ask.last_ms.map(|ms| Timestamp(now().0.saturating_sub(ms)));
    let since = last.max(ask.since_ms.map(Timestamp));
    let fail = |error: io::Error| format!("cannot read the output of `{}`: {error}", ask.task);
    let mut output = match Ordered::open(&folder, &ask.task, streams, tail, since).await {
        Ok(output) => output,
        // Nothing was ever started there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(error).into()),
    };
    loop {
        // In this order: what was written before the end must be read after it is known.
        let is_over = !ask.follow || view.borrow_and_update().status.state.has_ended();
        loop {
            let lines = output.read(is_over).await.map_err(fail)?;
            if lines.is_empty() {
                break;
            }
            if sender.send(message(lines)).await.is_err() {
                return Ok(());
            }
        }
        if is_over || !wait(&mut view, sender).await {
            return Ok(());
        }
    }
}

/// Lines one after the other, and of each part which it is.
fn message(lines: Vec<Lines>) -> LogsUp {
    let part = |lines: &Lines| LogLines {
        bytes: lines.bytes.len() as u64,
        stderr: lines.stream == Stream::Stderr,
        at_ms: lines.time.map(|time| time.0),
    };
    let parts = lines.iter().map(part).collect();
    let data = lines.iter().fold(BytesMut::new(), |mut data, lines| {
        data.extend_from_slice(&lines.bytes);
        data
    });
    LogsUp { data: data.freeze(), lines: parts, ..LogsUp::default() }
}

/// Waits for more output; false when nobody wants it any more.
async fn wait(view: &mut watch::Receiver<View>, sender: &mpsc::Sender<LogsUp>) -> bool {
    tokio::select! {
        () = sender.closed() => return false,
        () = tokio::time::sleep(LOG_FOLLOW_POLL) => {}
        // Removed: what is read is what there was.
        changed = view.changed() => return changed.is_ok(),
    }
    true
}
