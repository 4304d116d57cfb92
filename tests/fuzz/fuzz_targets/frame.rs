//! The files under consensus, damaged or forged: frames, a whole segment, a snapshot file. None makes its reader panic; a frame
//! is only what was written at its place; a log that opens can be read, written and opened again.
//!
//! The first byte chooses. Where a checksum would refuse nearly everything, the input describes the content and the checksums
//! are made to fit, as a bug that writes nonsense would.
#![no_main]

use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use fuzz::{join, parts, seed};
use libfuzzer_sys::fuzz_target;
use server::raft::log_store::frame::{Frame, Kind, Place, decode, encode, was_durable};
use server::raft::log_store::{Backend, Error, Options, open};
use server::raft::snapshot_file;

const KINDS: [Kind; 6] = [Kind::Head, Kind::Entry, Kind::Vote, Kind::Committed, Kind::Truncate, Kind::Purge];

fuzz_target!(init: seed(seeds), |input: &[u8]| {
    match input.split_first() {
        Some((0, rest)) => one_frame(rest),
        Some((1, rest)) => segment(|_| rest.to_vec()),
        Some((2, rest)) => segment(|start| forged(start, rest)),
        Some((3, rest)) => snapshot(rest),
        _ => {}
    }
});

/// Bytes as a frame: an error, or exactly what writes these bytes.
fn one_frame(bytes: &[u8]) {
    let place = Place { segment: 1, offset: 0 };
    if let Ok(frame) = decode(bytes, place) {
        let mut again = Vec::new();
        encode(frame, place, &mut again);
        // The three bytes beside the kind are covered by the checksum and mean nothing.
        assert_eq!((again.len(), &again[16..]), (frame.len(), &bytes[16..frame.len()]));
    }
    was_durable(bytes, 1, 0);
}

/// A folder in memory where there is some: every open syncs.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder")
}

/// A log whose one segment goes on, after what a fresh one holds, with other bytes.
fn segment(tail: impl FnOnce(u64) -> Vec<u8>) {
    let folder = scratch();
    let path = folder.path().join("log/0000000000000001.seg");
    let options = Options::new(Backend::Segments);
    drop(open(folder.path(), options).expect("a fresh log"));
    let mut bytes = std::fs::read(&path).expect("the first segment");
    bytes.extend(tail(bytes.len() as u64));
    std::fs::write(&path, bytes).expect("written");
    let mut store = match open(folder.path(), options) {
        Ok(store) => store,
        Err(Error::Corrupt { .. }) => return,
        Err(error) => panic!("{error:?}"),
    };
    let before = store.state();
    let entries = store.read(0..u64::MAX, usize::MAX).expect("what opened is read");
    let counted = before.first.zip(before.last).map_or(0, |(first, last)| last - first + 1);
    assert_eq!(entries.len() as u64, counted, "{before:?}");
    let Some(next) = before.next_index().or(Some(1)).filter(|next| *next < u64::MAX) else { return };
    store.append(next, &[Bytes::from_static(b"after")]).and_then(|()| store.sync()).expect("it goes on");
    let after = store.state();
    drop(store);
    assert_eq!(open(folder.path(), options).expect("it opens again").state(), after);
}

/// Frames with right checksums: of each message the first byte is the kind, eight are the index, the rest the payload.
fn forged(start: u64, input: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts(input) {
        let Some(([kind, index @ ..], payload)) = part.split_first_chunk::<9>() else { continue };
        let place = Place { segment: 1, offset: start + bytes.len() as u64 };
        let kind = KINDS[usize::from(*kind) % KINDS.len()];
        encode(Frame { kind, index: u64::from_le_bytes(*index), durable: start, payload }, place, &mut bytes);
    }
    bytes
}

fn snapshot(bytes: &[u8]) {
    let folder = scratch();
    let path = folder.path().join("1.snap");
    std::fs::write(&path, bytes).expect("written");
    let Ok(mut reader) = snapshot_file::Reader::open(&path) else { return };
    let (meta, length) = (reader.meta().to_vec(), reader.content_bytes());
    let mut content = Vec::new();
    if reader.read_to_end(&mut content).is_err() {
        return;
    }
    assert_eq!(content.len() as u64, length);
    snapshot_file::write(&path, &meta, |out| out.write_all(&content)).expect("written");
    let mut again = snapshot_file::Reader::open(&path).expect("what was written is read");
    assert_eq!(again.meta(), meta);
    assert_eq!(again.drain().expect("it is whole"), length);
}

fn seeds() -> Vec<Vec<u8>> {
    let chosen = |choice: u8, rest: &[u8]| [&[choice], rest].concat();
    let mut frame = Vec::new();
    encode(
        Frame { kind: Kind::Entry, index: 1, durable: 0, payload: b"entry" },
        Place { segment: 1, offset: 0 },
        &mut frame,
    );
    let message =
        |kind: u8, index: u64, payload: &[u8]| [&[kind], &index.to_le_bytes()[..], payload].concat();
    let history = [
        message(1, 1, b"one"),
        message(1, 2, b"two"),
        message(2, 0, b"vote"),
        message(3, 0, b"committed"),
        message(4, 2, b""),
        message(1, 2, b"other two"),
        message(5, 1, b"purged"),
    ];
    let folder = scratch();
    let path = folder.path().join("1.snap");
    snapshot_file::write(&path, b"meta", |out| out.write_all(b"the content")).expect("written");
    let file = std::fs::read(&path).expect("it is there");
    let each = history.iter().map(|one| chosen(2, &join([one])));
    let some = [chosen(0, &frame), chosen(1, &frame), chosen(2, &join(&history)), chosen(3, &file)];
    each.chain(some).collect()
}
