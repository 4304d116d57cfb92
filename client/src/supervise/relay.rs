//! Passes on what tasks print, from the files that the keeper writes: a reader that is slow or gone holds up no task.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use proto::time::Timestamp;
use tokio::sync::{mpsc, watch};

use super::supervisor::Line;
use crate::allocs::view::View;
use crate::limits::{LOG_FOLLOW_POLL, SUPERVISE_GATHER};
use crate::logs::Stream;
use crate::logs::reader::{Begin, Cursor, Merged};

/// A piece of the output of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What people call the task.
    pub label: Arc<str>,
    /// Which of its streams.
    pub stream: Stream,
    /// At most 64 KiB, as it was printed; empty: a line that has no end yet gets none.
    pub bytes: Bytes,
    /// All that the task printed up to this end of it was passed on before.
    pub end: Option<Timestamp>,
}

/// What one relay needs.
pub(super) struct Relay {
    /// The folder of the output.
    pub(super) folder: PathBuf,
    /// The task's name.
    pub(super) task: String,
    /// What people call it.
    pub(super) label: Arc<str>,
    /// Where to begin: what an earlier supervisor passed on is not passed on again.
    pub(super) begin: Begin,
    /// The allocation; its end is the end of the output.
    pub(super) view: watch::Receiver<View>,
    /// Changes when there may be more; none: that is looked for by the clock.
    pub(super) rope: Option<watch::Receiver<()>>,
    /// Where output goes.
    pub(super) output: mpsc::Sender<Output>,
    /// Where a loss is told.
    pub(super) lines: mpsc::Sender<Line>,
}

impl Relay {
    /// Passes all on until the task's allocation has ended, or nobody wants more.
    pub(super) async fn run(mut self) {
        let opened = Merged::open(&self.folder, &self.task, [self.begin, self.begin]).await;
        let result = match opened {
            Ok(mut reader) => self.pass_on(&mut reader).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            self.tell(format!("its output cannot be read any more: {error}"));
        }
        let _ = self.over(None).await;
    }

    /// Says that nothing more comes of what there is of a line, and of which end of the task that is so.
    async fn over(&self, end: Option<Timestamp>) -> Result<(), mpsc::error::SendError<Output>> {
        let piece = |stream, end| Output { label: self.label.clone(), stream, bytes: Bytes::new(), end };
        self.output.send(piece(Stream::Stdout, None)).await?;
        self.output.send(piece(Stream::Stderr, end)).await
    }

    async fn pass_on(&mut self, reader: &mut Merged) -> std::io::Result<()> {
        let mut last = [None::<Cursor>; 2];
        let mut told = None;
        loop {
            // In this order: what was written before the end must be read after it is known.
            let (is_over, end) = self.ends();
            self.rope.iter_mut().for_each(|rope| drop(rope.borrow_and_update()));
            while let Some(chunk) = reader.read().await? {
                let last = &mut last[usize::from(chunk.stream == Stream::Stderr)];
                if last.is_some_and(|last| chunk.next.file > last.file + 1) {
                    self.tell("some of its output is not shown: it printed faster than that was read".into());
                }
                *last = Some(chunk.next);
                let label = self.label.clone();
                let piece = Output { label, stream: chunk.stream, bytes: chunk.bytes, end: None };
                if self.output.send(piece).await.is_err() {
                    return Ok(());
                }
            }
            if end > told {
                told = end;
                if self.over(end).await.is_err() {
                    return Ok(());
                }
            }
            if is_over {
                return Ok(());
            }
            tokio::select! {
                () = more(&mut self.rope) => tokio::time::sleep(SUPERVISE_GATHER).await,
                // Without its sender it was removed: what is read is what there was.
                changed = self.view.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    }

    /// Returns whether its allocation has ended, and when the task did the last time.
    fn ends(&mut self) -> (bool, Option<Timestamp>) {
        let view = self.view.borrow_and_update();
        let task = view.status.tasks.iter().find(|status| status.name == self.task);
        let end = task.and_then(|status| status.last_end.as_ref()).map(|end| end.at);
        (view.status.state.has_ended(), end)
    }

    fn tell(&self, text: String) {
        let _ = self.lines.try_send(Line::note(&self.label, text));
    }
}

/// Waits until there may be more.
async fn more(rope: &mut Option<watch::Receiver<()>>) {
    match rope {
        Some(rope) if rope.has_changed().is_ok() => drop(rope.changed().await),
        _ => tokio::time::sleep(LOG_FOLLOW_POLL).await,
    }
}
