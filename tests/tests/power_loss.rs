//! A power cut never costs an acknowledged entry, whatever the disk did with what was not synced.
//!
//! Method: a workload writes through the real writer thread under a recorder; at random points of its trace the
//! directory is rebuilt as a power cut may have left it; the store must open on it and hold what a prefix of the ops
//! gives, with every acknowledged op in the prefix, and take more entries.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../support/recorder/mod.rs"]
mod recorder;

use std::path::Path;
use std::process::Command;

use recorder::image::{Disk, Mode};
use recorder::script::{Model, Op, Random, record, script};
use recorder::trace::{self, Event};
use server::raft::log_store::{Backend, LogStore, Options, open};

/// Images per back-end and mode; together more than 700 with those of the beginning. `POWER_LOSS_IMAGES` and `POWER_LOSS_SEED` make a longer run.
const IMAGES: u64 = 150;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Events of the first start.
const BEGINNING: usize = 40;

/// Ops that may be written but not acknowledged: the workload's window, and `committed`, which nobody waits for.
const AHEAD: usize = 40;

struct Recording {
    backend: Backend,
    ops: Vec<Op>,
    events: Vec<Event>,
}

fn run(dir: &Path, backend: Backend, seed: u64, count: usize, mode: &str) -> Recording {
    let recorder = trace::compile(dir);
    let root = dir.join("root");
    std::fs::create_dir(&root).unwrap();
    // Descriptors are traced by the names that the system gives them.
    let root = root.canonicalize().unwrap();
    let mut workload = Command::new(env!("CARGO_BIN_EXE_store_workload"));
    workload.arg(root.join("data")).args([backend.name(), &seed.to_string(), &count.to_string(), mode]);
    let events = trace::record(&recorder, &root, &mut workload);
    Recording { backend, ops: script(seed, count), events }
}

/// Where images are built: in memory where there is some, because each is synced while it is opened.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

impl Recording {
    /// Cuts the power at random points; answers with what was wrong with the images that were.
    fn cut(&self, mode: Mode, images: usize, seed: u64, fdatasync_is_ignored: bool) -> Vec<String> {
        let mut random = Random(seed);
        let mut points: Vec<usize> =
            (0..images).map(|_| random.below(self.events.len() as u64) as usize).collect();
        // The first start is where names are new: no point of it is left out.
        points.extend(0..BEGINNING);
        points.sort_unstable();
        let mut disk = Disk::default();
        disk.fdatasync_is_ignored = fdatasync_is_ignored;
        let mut applied = 0;
        let mut wrong = Vec::new();
        let mut opened_with_entries = 0;
        for point in points {
            self.events[applied..=point].iter().for_each(|event| disk.apply(event));
            applied = point + 1;
            let image = scratch();
            disk.cut(mode, &mut random, image.path());
            match self.check(&image.path().join("data"), disk.acknowledged) {
                Ok(entries) => opened_with_entries += usize::from(entries > 0),
                Err(what) => wrong.push(format!("{:?} {mode:?} at event {point}: {what}", self.backend)),
            }
        }
        if wrong.is_empty() {
            assert!(opened_with_entries > images / 2, "only {opened_with_entries} images held anything");
        }
        wrong
    }

    fn check(&self, dir: &Path, acknowledged: Option<u64>) -> Result<usize, String> {
        let options = Options::new(self.backend);
        let mut store = open(dir, options).map_err(|error| format!("does not open: {error:?}"))?;
        let state = store.state();
        let records =
            store.read(0..u64::MAX, usize::MAX).map_err(|error| format!("cannot be read: {error:?}"))?;
        let durable = acknowledged.map_or(0, |op| op as usize + 1);
        let mut model = Model::default();
        self.ops[..durable].iter().enumerate().for_each(|(number, op)| model.apply(number, op));
        let mut fits = self.fits(&model, durable, &*store, &records);
        for (number, op) in self.ops.iter().enumerate().skip(durable).take(AHEAD) {
            if fits {
                break;
            }
            model.apply(number, op);
            fits = self.fits(&model, number + 1, &*store, &records);
        }
        if !fits {
            return Err(format!(
                "{} acknowledged ops, but no prefix of the ops with all of them gives {} entries and {state:?}",
                durable,
                records.len()
            ));
        }
        let next = state.next_index().unwrap_or(0);
        let written = store.append(next, &[b"after".to_vec().into()]).and_then(|()| store.sync());
        written.map_err(|error| format!("cannot be written: {error:?}"))?;
        Ok(records.len())
    }

    /// Whether a store holds what the first `done` ops give, or a part of the next one on top of it.
    fn fits<B: AsRef<[u8]>>(&self, model: &Model, done: usize, store: &dyn LogStore, records: &[B]) -> bool {
        let state = store.state();
        let same = |bytes: &Option<_>, expected: &Option<Vec<u8>>| {
            bytes.as_ref().map(AsRef::<[u8]>::as_ref) == expected.as_deref()
        };
        if !same(&state.vote, &model.vote) || !same(&state.committed, &model.committed) {
            return false;
        }
        let purged = state.purged.as_ref().map(|(index, note)| (*index, note.to_vec()));
        if purged != model.purged {
            return false;
        }
        let mut expected = model.entries.clone();
        match self.ops.get(done) {
            // Entries of a group, and removals from the end, take effect one by one.
            Some(Op::Append { first, lengths }) => {
                let some = (*first..).zip(lengths).filter(|(index, _)| Some(*index) <= state.last);
                expected.extend(some.map(|(index, len)| (index, (done, *len))));
            }
            Some(Op::Truncate(index)) => {
                expected.retain(|entry, _| entry < index || Some(*entry) <= state.last);
            }
            _ => {}
        }
        let first = expected.first_key_value().map(|(index, _)| *index);
        first == state.first
            && expected.len() == records.len()
            && expected.iter().zip(records).all(|((index, (op, len)), found)| {
                found.as_ref().len() == *len && found.as_ref() == record(*op, *index, *len)
            })
    }
}

fn survives(backend: Backend, mode: Mode, seed: u64) {
    let seed = seed + 100 * setting("POWER_LOSS_SEED", 0);
    let images = setting("POWER_LOSS_IMAGES", IMAGES) as usize;
    let dir = tempfile::tempdir().unwrap();
    let recording = run(dir.path(), backend, seed, 400, "normal");
    let marks = recording.events.iter().filter(|event| matches!(event, Event::Mark(_))).count();
    assert!(marks > 250, "{marks} acknowledged ops");
    let wrong = recording.cut(mode, images, seed ^ 2, false);
    assert!(wrong.is_empty(), "{} of {images} images:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn sled_survives_a_power_cut_that_drops_what_was_not_synced() {
    survives(Backend::Sled, Mode::Dropped, 11);
}

#[test]
fn sled_survives_a_power_cut_that_tears_what_was_not_synced() {
    survives(Backend::Sled, Mode::Torn, 12);
}

#[test]
fn segments_survive_a_power_cut_that_drops_what_was_not_synced() {
    survives(Backend::Segments, Mode::Dropped, 13);
}

#[test]
fn segments_survive_a_power_cut_that_tears_what_was_not_synced() {
    survives(Backend::Segments, Mode::Torn, 14);
}

/// The test can fail: a store that acknowledges before it has synced is caught, by either back-end's images.
#[test]
fn acknowledging_before_the_sync_is_caught() {
    for backend in [Backend::Segments, Backend::Sled] {
        let dir = tempfile::tempdir().unwrap();
        let recording = run(dir.path(), backend, 15, 200, "early");
        let wrong = recording.cut(Mode::Dropped, 40, 16, false);
        assert!(wrong.len() > 4, "{backend:?}: {} of 40 images were caught", wrong.len());
        assert!(wrong.iter().all(|what| what.contains("no prefix of the ops")), "{}", wrong.join("\n"));
    }
}

/// The test can fail: where `fdatasync` does nothing, as `sync_file_range` here, everything acknowledged is lost.
#[test]
fn a_sync_that_does_nothing_is_caught() {
    for backend in [Backend::Segments, Backend::Sled] {
        let dir = tempfile::tempdir().unwrap();
        let recording = run(dir.path(), backend, 17, 200, "normal");
        let wrong = recording.cut(Mode::Dropped, 40, 18, true);
        assert!(wrong.len() > 10, "{backend:?}: {} of 40 images were caught", wrong.len());
    }
}
