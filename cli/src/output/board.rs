//! Where `run` and `dev` show how things go: lines that stay, and on a terminal lines below them that are redrawn.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Line, Out, Tone};
use crate::args::Global;
use crate::exit::Failure;
use crate::limits;

/// Shows progress. A reader that has gone makes it silent, and never ends the following: the exit code must stay true.
pub struct Board {
    out: Out,
    live: Option<Live>,
    silent: bool,
}

struct Live {
    all: MultiProgress,
    /// Per job its bars; the live lines of a job that is over are taken away.
    bars: BTreeMap<String, Vec<ProgressBar>>,
}

impl Board {
    /// Opens it: live on a terminal, plain lines elsewhere, nothing but documents with `--json`.
    #[must_use]
    pub fn new(global: &Global) -> Self {
        let out = Out::new(global);
        let live = out.terminal.then(|| Live {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()),
            bars: BTreeMap::new(),
        });
        Self { silent: out.json, live, out }
    }

    /// Says something that stays.
    pub fn line(&mut self, line: &Line) {
        let mut text = self.out.paint.text(line.tone, &line.text);
        for output in &line.tail {
            text.push_str("\n  | ");
            text.push_str(output);
        }
        self.say(&text);
    }

    /// Says a plain sentence that stays.
    pub fn text(&mut self, text: &str) {
        self.line(&Line::new(Tone::Plain, text));
    }

    /// Shows the live lines of a job; none takes them away.
    pub fn live(&mut self, job: &str, lines: &[Line]) {
        let paint = self.out.paint;
        let Some(live) = &mut self.live else { return };
        let others: usize =
            live.bars.iter().filter(|(name, _)| *name != job).map(|(_, bars)| bars.len()).sum();
        let room = limits::LIVE_LINES.saturating_sub(others);
        let bars = live.bars.entry(job.to_owned()).or_default();
        while bars.len() > lines.len().min(room) {
            if let Some(bar) = bars.pop() {
                bar.finish_and_clear();
                live.all.remove(&bar);
            }
        }
        while bars.len() < lines.len().min(room) {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            let bar = live.all.add(ProgressBar::new_spinner());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bars.push(bar);
        }
        for (bar, line) in bars.iter().zip(lines) {
            bar.set_message(paint.text(line.tone, &line.text));
            bar.tick();
        }
    }

    /// Takes all live lines away.
    pub fn clear(&mut self) {
        if let Some(live) = &mut self.live {
            live.bars.clear();
            // A terminal that is gone shows nothing anyway.
            let _ = live.all.clear();
        }
    }

    /// Writes a document, with `--json` only.
    ///
    /// # Errors
    /// [`Failure::Output`] when standard output takes no more.
    pub fn document(&mut self, document: &impl serde::Serialize) -> Result<(), Failure> {
        if self.out.json { self.out.document(document) } else { Ok(()) }
    }

    fn say(&mut self, text: &str) {
        if self.silent {
            return;
        }
        let out = &mut self.out;
        let result = match &self.live {
            Some(live) => live.all.suspend(|| out.line(text)),
            None => out.line(text),
        };
        self.silent = result.is_err();
    }
}
