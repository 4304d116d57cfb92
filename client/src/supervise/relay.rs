//! Passes on what tasks print, from the files that the keeper writes: a reader that is slow or gone holds up no task.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
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
    /// At most 64 KiB, as it was printed; empty: nothing more comes of this task.
    pub bytes: Bytes,
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
        for stream in Stream::ALL {
            let over = Output { label: self.label.clone(), stream, bytes: Bytes::new() };
            let _ = self.output.send(over).await;
        }
    }

    async fn pass_on(&mut self, reader: &mut Merged) -> std::io::Result<()> {
        let mut last = [None::<Cursor>; 2];
        loop {
            // In this order: what was written before the end must be read after it is known.
            let is_over = self.view.borrow_and_update().status.state.has_ended();
            self.rope.iter_mut().for_each(|rope| drop(rope.borrow_and_update()));
            while let Some(chunk) = reader.read().await? {
                let last = &mut last[usize::from(chunk.stream == Stream::Stderr)];
                if last.is_some_and(|last| chunk.next.file > last.file + 1) {
                    self.tell("some of its output is not shown: it printed faster than that was read".into());
                }
                *last = Some(chunk.next);
                let piece = Output { label: self.label.clone(), stream: chunk.stream, bytes: chunk.bytes };
                if self.output.send(piece).await.is_err() {
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

    fn tell(&self, text: String) {
        let _ = self.lines.try_send(Line { label: self.label.to_string(), text });
    }
}

/// Waits until there may be more.
async fn more(rope: &mut Option<watch::Receiver<()>>) {
    match rope {
        Some(rope) if rope.has_changed().is_ok() => drop(rope.changed().await),
        _ => tokio::time::sleep(LOG_FOLLOW_POLL).await,
    }
}
