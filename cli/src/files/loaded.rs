//! What was read of all files together, and what is to be said of it.

use std::collections::BTreeSet;

use proto::convert::{Format, Note};
use proto::model::Job;

use super::Checked;
use crate::output::Voice;

/// The jobs of files that are all right.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// In the order of the files.
    pub jobs: Vec<Job>,
    /// The formats that the files are in.
    formats: BTreeSet<Format>,
    /// What is to be said, each with its place, and whether it holds in a cluster only.
    notes: Vec<(String, bool)>,
}

impl Loaded {
    /// Takes a job that comes from no file.
    #[must_use]
    pub fn only(job: Job) -> Self {
        Self { jobs: vec![job], ..Self::default() }
    }

    /// Takes what was checked; of wrong files nothing.
    pub(super) fn of(checked: Vec<Checked>) -> Self {
        let mut loaded = Self::default();
        for file in checked {
            let Ok(jobs) = file.result else { continue };
            loaded.jobs.extend(jobs);
            loaded.formats.insert(file.format);
            if file.format == Format::Monexec {
                loaded.notes.push((format!("{}: read as a file of monexec", file.name), false));
            }
            let placed = file.notes.iter().map(|note| (placed(&file.name, note), note.in_cluster_only));
            loaded.notes.extend(placed);
        }
        loaded
    }

    /// Returns whether there are files, and all of them are in this format.
    #[must_use]
    pub fn is_all(&self, format: Format) -> bool {
        self.formats.iter().eq([&format])
    }

    /// Returns whether any file is in this format.
    #[must_use]
    pub fn is_any(&self, format: Format) -> bool {
        self.formats.contains(&format)
    }

    /// Says what was read as another tool's file, and what of it has no counterpart, a line each. What holds in a cluster only is left
    /// out where there is none.
    pub fn tell(&self, voice: Voice, in_cluster: bool) {
        self.said(in_cluster).for_each(|text| voice.notice(text));
    }

    /// Returns what [`Self::tell`] says.
    pub(super) fn said(&self, in_cluster: bool) -> impl Iterator<Item = &str> {
        let holds = move |(_, in_cluster_only): &&(String, bool)| in_cluster || !in_cluster_only;
        self.notes.iter().filter(holds).map(|(text, _)| text.as_str())
    }
}

/// Says what of these files has no counterpart, a line each.
pub fn tell_notes(checked: &[Checked], voice: Voice) {
    for file in checked {
        file.notes.iter().for_each(|note| voice.notice(&placed(&file.name, note)));
    }
}

/// Returns a note with its place.
fn placed(file: &str, note: &Note) -> String {
    format!("{file}:{}: {}", note.line, note.text)
}
