//! What tasks print on standard output, what happens to them on standard error. Each has a thread of its own: whoever does not read
//! one of them holds up neither the other nor any task. An end is told after what the task printed before it, where that is read.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use client::logs::Stream;
use client::supervise::{Line, Output, What};
use proto::time::{Timestamp, now};
use tokio::sync::mpsc;

use super::document::document;
use crate::args::Global;
use crate::limits;
use crate::output::{Paint, Tone, Voice};

/// The threads.
pub(super) struct Shown {
    /// Says when both have shown all there was.
    over: Receiver<()>,
}

impl Shown {
    /// Begins to show.
    pub(super) fn begin(
        output: mpsc::Receiver<Output>,
        lines: mpsc::Receiver<Line>,
        raw: bool,
        global: &Global,
    ) -> io::Result<Self> {
        // Nobody sends: it closes when both threads have ended.
        let (alive, over) = sync_channel(0);
        let (voice, json) = (Voice::new(global), global.json);
        let paint = Paint::of(global.color, &io::stdout());
        let shown = Arc::new(Ends::default());
        let told = shown.clone();
        spawn("output", alive.clone(), move || show_output(output, raw, paint, &shown))?;
        spawn("lines", alive, move || show_lines(lines, json, voice, &told))?;
        Ok(Self { over })
    }

    /// Waits until all is shown; not for ever, because nobody may be there to read it.
    pub(super) fn end(self) {
        let _ = self.over.recv_timeout(limits::SUPERVISE_LAST_WORDS);
    }
}

fn spawn(name: &str, alive: SyncSender<()>, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let work = move || {
        work();
        drop(alive);
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Of every task the latest end up to which its output is shown.
#[derive(Default)]
struct Ends {
    by_label: Mutex<BTreeMap<Arc<str>, Timestamp>>,
    changed: Condvar,
}

impl Ends {
    fn note(&self, label: &Arc<str>, end: Timestamp) {
        self.by_label.lock().unwrap_or_else(PoisonError::into_inner).insert(label.clone(), end);
        self.changed.notify_all();
    }

    /// Waits until the output up to this end is shown; not for long, because nobody may read it.
    fn wait(&self, label: &str, end: Timestamp) {
        let ends = self.by_label.lock().unwrap_or_else(PoisonError::into_inner);
        let is_missing =
            |ends: &mut BTreeMap<Arc<str>, Timestamp>| ends.get(label).is_none_or(|shown| *shown < end);
        let _ = self.changed.wait_timeout_while(ends, limits::SUPERVISE_ORDER, is_missing);
    }
}

fn show_output(mut output: mpsc::Receiver<Output>, raw: bool, paint: Paint, ends: &Ends) {
    let mut prefixer = Prefixer::new(paint);
    while let Some(piece) = output.blocking_recv() {
        // A reader that has gone is no reason to end tasks; what they print goes on into files.
        let _ = if !raw {
            write(io::stdout(), &prefixer.take(&piece))
        } else if piece.stream == Stream::Stderr {
            write(io::stderr(), &piece.bytes)
        } else {
            write(io::stdout(), &piece.bytes)
        };
        if let Some(end) = piece.end {
            ends.note(&piece.label, end);
        }
    }
}

fn write(mut to: impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

/// Says something about all tasks: to scripts as a `note`.
pub(super) fn say(voice: Voice, text: &str) {
    if voice.is_json() {
        write_document(&Line::note("", text));
    } else {
        voice.notice(text);
    }
}

fn write_document(line: &Line) {
    // It always can be written as JSON; a reader that has gone is no reason to end tasks.
    let mut bytes = serde_json::to_vec(&document(line, now())).unwrap_or_default();
    bytes.push(b'\n');
    let _ = write(io::stderr(), &bytes);
}

fn show_lines(mut lines: mpsc::Receiver<Line>, json: bool, voice: Voice, ends: &Ends) {
    while let Some(line) = lines.blocking_recv() {
        let Line { label, what, text } = &line;
        if let What::Ended { end, .. } = what {
            ends.wait(label, end.at);
        }
        if json {
            write_document(&line);
        } else if label.is_empty() {
            voice.notice(text);
        } else {
            voice.notice(&format!("{label}: {text}"));
        }
    }
}

/// Puts the task's name before every line. Lines stay whole: what has no end yet waits for it, and what never ends is cut.
struct Prefixer {
    paint: Paint,
    open: BTreeMap<(Arc<str>, Stream), Vec<u8>>,
}

impl Prefixer {
    const fn new(paint: Paint) -> Self {
        Self { paint, open: BTreeMap::new() }
    }

    /// Returns what to write for a piece of output; an empty piece ends its stream.
    fn take(&mut self, piece: &Output) -> Vec<u8> {
        let prefix = self.paint.text(Tone::Dim, &format!("{} | ", piece.label));
        let key = (piece.label.clone(), piece.stream);
        let mut open = self.open.remove(&key).unwrap_or_default();
        let mut written = Vec::with_capacity(piece.bytes.len() + 64);
        let mut say = |line: &[u8]| {
            written.extend_from_slice(prefix.as_bytes());
            written.extend_from_slice(line);
            if !line.ends_with(b"\n") {
                written.push(b'\n');
            }
        };
        for part in piece.bytes.split_inclusive(|byte| *byte == b'\n') {
            open.extend_from_slice(part);
            if part.ends_with(b"\n") || open.len() >= limits::SUPERVISE_LINE {
                say(&open);
                open.clear();
            }
        }
        if piece.bytes.is_empty() && !open.is_empty() {
            say(&open);
            open.clear();
        }
        if !open.is_empty() {
            self.open.insert(key, open);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(prefixer: &mut Prefixer, label: &str, bytes: &str) -> String {
        let piece =
            Output { label: label.into(), stream: Stream::Stdout, bytes: bytes.to_owned().into(), end: None };
        String::from_utf8(prefixer.take(&piece)).expect("text")
    }

    #[test]
    fn every_line_is_whole_and_says_whose_it_is() {
        let mut prefixer = Prefixer::new(Paint(false));
        assert_eq!(taken(&mut prefixer, "web", "a\nb"), "web | a\n");
        assert_eq!(taken(&mut prefixer, "db", "c\n"), "db | c\n");
        assert_eq!(taken(&mut prefixer, "web", "b\n\n"), "web | bb\nweb | \n");
    }

    #[test]
    fn the_last_line_needs_no_end() {
        let mut prefixer = Prefixer::new(Paint(false));
        assert_eq!(taken(&mut prefixer, "web", "half"), "");
        assert_eq!(taken(&mut prefixer, "web", ""), "web | half\n");
        assert_eq!(taken(&mut prefixer, "web", ""), "");
        assert!(prefixer.open.is_empty());
    }

    #[test]
    fn an_end_waits_for_the_output_before_it_and_not_for_ever() {
        let ends = Arc::new(Ends::default());
        let noting = ends.clone();
        let label: Arc<str> = "web".into();
        let began = std::time::Instant::now();
        let thread = thread::spawn(move || {
            thread::sleep(std::time::Duration::from_millis(50));
            noting.note(&label, Timestamp(7));
        });
        ends.wait("web", Timestamp(7));
        assert!(began.elapsed() >= std::time::Duration::from_millis(50), "it waited");
        thread.join().expect("it ends");
        let began = std::time::Instant::now();
        ends.wait("web", Timestamp(7));
        assert!(began.elapsed() < limits::SUPERVISE_ORDER, "that is shown already");
        ends.wait("web", Timestamp(8));
        assert!(began.elapsed() >= limits::SUPERVISE_ORDER, "nobody shows it");
    }

    #[test]
    fn a_line_without_end_takes_no_more_memory_than_a_line_may() {
        let mut prefixer = Prefixer::new(Paint(false));
        let long = "x".repeat(limits::SUPERVISE_LINE * 3);
        let mut written = 0;
        for _ in 0..10 {
            written += taken(&mut prefixer, "web", &long).matches('x').count();
            let open: usize = prefixer.open.values().map(Vec::len).sum();
            assert!(open < limits::SUPERVISE_LINE * 4, "{open}");
        }
        assert_eq!(written, long.len() * 10);
    }
}
