use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const BACKENDS: [Backend; 2] = [Backend::Sled, Backend::Segments];

/// Small segments, so that tests roll and purge files.
fn options(backend: Backend) -> Options {
    Options { segment_bytes: 2000, ..Options::new(backend) }
}

fn record(index: u64, len: usize) -> Bytes {
    (0..len).map(|i| (index as usize * 31 + i) as u8).collect()
}

fn append(store: &mut dyn LogStore, from: u64, count: u64, len: usize) {
    let records: Vec<Bytes> = (from..from + count).map(|index| record(index, len)).collect();
    store.append(from, &records).unwrap();
}

/// What a store should hold, in the simplest way.
#[derive(Clone, Debug, Default)]
struct Model {
    entries: BTreeMap<u64, Bytes>,
    state: State,
}

impl Model {
    fn check(&mut self, store: &dyn LogStore) {
        self.state.first = self.entries.first_key_value().map(|(index, _)| *index);
        self.state.last = self.entries.last_key_value().map(|(index, _)| *index);
        assert_eq!(store.state(), self.state);
        let all: Vec<Bytes> = self.entries.values().cloned().collect();
        assert_eq!(store.read(0..u64::MAX, usize::MAX).unwrap(), all);
        assert_eq!(store.usage().log_bytes, all.iter().map(|record| record.len() as u64).sum::<u64>());
        assert_eq!(store.usage().blobs, 0);
    }

    fn next(&self) -> u64 {
        self.state.next_index().unwrap_or(0)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<usize>),
    Vote(u8),
    Committed(u8),
    /// How many entries from the end.
    Truncate(u64),
    /// How many entries from the beginning; more than there are purges beyond the log.
    Purge(u64),
    Sync,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len =
        prop_oneof![20 => 0usize..200, 1 => limits::SLED_PART_BYTES - 1..2 * limits::SLED_PART_BYTES + 2];
    let step = prop_oneof![
        8 => proptest::collection::vec(len, 1..20).prop_map(Step::Append),
        1 => any::<u8>().prop_map(Step::Vote),
        2 => any::<u8>().prop_map(Step::Committed),
        2 => (0u64..30).prop_map(Step::Truncate),
        2 => (1u64..60).prop_map(Step::Purge),
        1 => Just(Step::Sync),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..40)
}

fn run(backend: Backend, start: u64, steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), options(backend)).unwrap();
    let mut model = Model::default();
    // Consensus votes before it writes, and a vote is never taken back: a store that held something and is empty was damaged.
    store.save_vote(b"first").unwrap();
    model.state.vote = Some(Bytes::from_static(b"first"));
    if start > 0 {
        // Begins near the end of one of sled's trees.
        store.purge_through(start - 1, b"start").unwrap();
        model.state.purged = Some((start - 1, Bytes::from_static(b"start")));
    }
    for step in steps {
        let next = model.next();
        match step {
            Step::Append(lengths) => {
                let records: Vec<Bytes> =
                    (next..).zip(&lengths).map(|(index, len)| record(index, *len)).collect();
                store.append(next, &records).unwrap();
                model.entries.extend((next..).zip(records));
            }
            Step::Vote(vote) => {
                store.save_vote(&[vote]).unwrap();
                model.state.vote = Some(Bytes::copy_from_slice(&[vote]));
            }
            Step::Committed(committed) => {
                store.save_committed(&[committed]).unwrap();
                model.state.committed = Some(Bytes::copy_from_slice(&[committed]));
            }
            Step::Truncate(count) => {
                let purged = model.state.purged.as_ref().map_or(0, |(index, _)| index + 1);
                let from = next.saturating_sub(count).max(purged);
                store.truncate_from(from).unwrap();
                model.entries.split_off(&from);
            }
            Step::Purge(count) => {
                let first = model.entries.first_key_value().map_or(next, |(index, _)| *index);
                let through = first + count - 1;
                store.purge_through(through, &[count as u8]).unwrap();
                model.entries = model.entries.split_off(&(through + 1));
                model.state.purged = Some((through, Bytes::copy_from_slice(&[count as u8])));
            }
            Step::Sync => store.sync().unwrap(),
            Step::Reopen => {
                store.sync().unwrap();
                drop(store);
                store = open(dir.path(), options(backend)).unwrap();
            }
        }
        model.check(&*store);
    }
    store.sync().unwrap();
    drop(store);
    model.check(&*open(dir.path(), options(backend)).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn sled_holds_what_it_was_given(near_edge: bool, steps in steps()) {
        run(Backend::Sled, if near_edge { limits::SLED_TREE_ENTRIES - 20 } else { 0 }, steps);
    }

    #[test]
    fn segments_hold_what_they_were_given(near_edge: bool, steps in steps()) {
        run(Backend::Segments, if near_edge { limits::SLED_TREE_ENTRIES - 20 } else { 0 }, steps);
    }

    /// The last segment may be damaged in any way: the store opens with a prefix that was really written, or refuses.
    #[test]
    fn a_damaged_segment_never_gives_wrong_data(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut: Option<prop::sample::Index>,
        last: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), options(Backend::Segments)).unwrap();
        for from in (0..60).step_by(5) {
            append(&mut *store, from, 5, 60);
            store.sync().unwrap();
        }
        drop(store);
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(dir.path().join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let victim = if last { files.last().unwrap() } else { &files[0] };
        let mut bytes = std::fs::read(victim).unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        std::fs::write(victim, bytes).unwrap();
        match open(dir.path(), options(Backend::Segments)) {
            Ok(store) => {
                let records = store.read(0..u64::MAX, usize::MAX).unwrap();
                for (index, found) in records.iter().enumerate() {
                    prop_assert_eq!(found, &record(index as u64, 60));
                }
            }
            Err(error) => prop_assert!(matches!(error, Error::Corrupt { .. }), "{error:?}"),
        }
    }
}

#[test]
fn a_read_stops_at_its_bytes_but_gives_one_entry() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), options(backend)).unwrap();
        append(&mut *store, 10, 5, 100);
        assert_eq!(store.read(11..15, 250).unwrap(), [record(11, 100), record(12, 100)]);
        assert_eq!(store.read(11..15, 1).unwrap(), [record(11, 100)]);
        assert!(store.read(15..20, 1000).unwrap().is_empty());
        assert!(store.read(0..10, 1000).unwrap().is_empty());
    }
}

#[test]
fn what_would_leave_a_hole_is_refused_and_changes_nothing() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), options(backend)).unwrap();
        append(&mut *store, 0, 5, 10);
        store.purge_through(2, b"p").unwrap();
        let before = store.state();
        for wrong in [4, 6] {
            assert!(matches!(store.append(wrong, &[record(wrong, 1)]), Err(Error::Misuse { .. })));
        }
        assert!(matches!(store.truncate_from(2), Err(Error::Misuse { .. })));
        let large = Bytes::from(vec![0; limits::RECORD_BYTES_MAX + 1]);
        assert!(matches!(store.append(5, &[large]), Err(Error::Misuse { .. })));
        store.purge_through(1, b"older").unwrap();
        assert_eq!(store.state(), before);
        append(&mut *store, 5, 1, 10);
        store.sync().unwrap();
    }
}

#[test]
fn damage_in_an_older_segment_is_refused_with_the_file_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), options(Backend::Segments)).unwrap();
    for from in (0..60).step_by(5) {
        append(&mut *store, from, 5, 60);
    }
    store.sync().unwrap();
    drop(store);
    let first = dir.path().join("log/0000000000000001.seg");
    let whole = std::fs::read(&first).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&first, damaged).unwrap();
    let error = open(dir.path(), options(Backend::Segments)).err().unwrap().to_string();
    assert!(
        error.contains("0000000000000001.seg is damaged") && error.contains("move the whole data dir"),
        "{error}"
    );
    std::fs::remove_file(&first).unwrap();
    let error = open(dir.path(), options(Backend::Segments)).err().unwrap().to_string();
    assert!(error.contains("the segments before number 2 are missing"), "{error}");
    std::fs::write(&first, whole).unwrap();
    std::fs::remove_file(dir.path().join("log/0000000000000002.seg")).unwrap();
    let error = open(dir.path(), options(Backend::Segments)).err().unwrap().to_string();
    assert!(error.contains("missing"), "{error}");
}

#[test]
fn damage_below_what_was_synced_is_not_taken_for_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), Options::new(Backend::Segments)).unwrap();
    append(&mut *store, 0, 1, 100);
    store.sync().unwrap();
    append(&mut *store, 1, 1, 100);
    store.sync().unwrap();
    drop(store);
    let path = dir.path().join("log/0000000000000001.seg");
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() - 150] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let error = open(dir.path(), Options::new(Backend::Segments)).err().unwrap();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    // The same damage where nothing says that it was synced is a torn tail.
    std::fs::write(&path, &whole[..whole.len() - 50]).unwrap();
    let store = open(dir.path(), Options::new(Backend::Segments)).unwrap();
    assert_eq!(store.state().last, Some(0));
}

#[test]
fn a_frame_with_an_impossible_index_is_refused_and_not_counted_on() {
    use super::frame::{Frame, Kind, Place, encode};
    for kind in [Kind::Entry, Kind::Truncate, Kind::Purge] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), Options::new(Backend::Segments)).unwrap();
        append(&mut *store, 1, 3, 10);
        store.sync().unwrap();
        drop(store);
        let path = dir.path().join("log/0000000000000001.seg");
        let mut bytes = std::fs::read(&path).unwrap();
        let place = Place { segment: 1, offset: bytes.len() as u64 };
        encode(Frame { kind, index: u64::MAX, durable: 0, payload: b"x" }, place, &mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let error = open(dir.path(), Options::new(Backend::Segments)).err().unwrap();
        assert!(error.to_string().contains("impossible index"), "{kind:?}: {error}");
    }
}

#[test]
fn a_damaged_database_is_refused_with_what_to_do() {
    for damaged in ["conf", "db"] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), options(Backend::Sled)).unwrap();
        append(&mut *store, 0, 50, 100);
        store.sync().unwrap();
        drop(store);
        let path = dir.path().join("log").join(damaged);
        let mut bytes = std::fs::read(&path).unwrap();
        let end = bytes.len().min(1 << 16);
        bytes[10..end].iter_mut().for_each(|byte| *byte ^= 0x55);
        std::fs::write(&path, bytes).unwrap();
        match open(dir.path(), options(Backend::Sled)) {
            Err(error @ Error::Corrupt { .. }) => {
                let error = error.to_string();
                assert!(error.contains("move the whole data directory aside"), "{error}");
            }
            Err(error) => panic!("{damaged}: {error:?}"),
            Ok(store) => panic!("{damaged} opened with {:?}", store.state()),
        }
    }
}

/// A child of this test binary with a limit on the size of files stands in for a full disk: the write fails half-way.
#[test]
fn a_full_disk_is_fatal_and_the_directory_opens_intact_afterwards() {
    const DIR: &str = "MINIJOB_TEST_FULL_DISK";
    let name = "raft::log_store::tests::a_full_disk_is_fatal_and_the_directory_opens_intact_afterwards";
    if let Some(dir) = std::env::var_os(DIR) {
        fill(Path::new(&dir));
        return;
    }
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(backend.name());
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(DIR, &path)
            .output()
            .unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        let synced: u64 = text
            .lines()
            .find_map(|line| line.split("synced through ").nth(1))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let mut store = open(&path, Options::new(backend)).unwrap();
        let state = store.state();
        assert!(state.last >= Some(synced), "{backend:?}: {synced} was synced, {state:?}");
        for (index, found) in store.read(0..u64::MAX, usize::MAX).unwrap().iter().enumerate() {
            assert_eq!(found, &record(index as u64, 10_000));
        }
        let next = state.next_index().unwrap();
        append(&mut *store, next, 3, 100);
        store.sync().unwrap();
    }
}

fn fill(path: &Path) {
    let backend = Backend::from_name(path.file_name().unwrap().to_str().unwrap()).unwrap();
    // sled extends its file by whole segments.
    let limit = if backend == Backend::Sled { 20 << 20 } else { 1 << 20 };
    // SAFETY: plain system calls with valid arguments; they concern only this process, which was started for it.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    let mut store = open(path, Options::new(backend)).unwrap();
    for index in 0..10_000 {
        let written = store.append(index, &[record(index, 10_000)]).and_then(|()| store.sync());
        if let Err(error) = written {
            assert!(!matches!(error, Error::Misuse { .. } | Error::Corrupt { .. }), "{error:?}");
            assert!(matches!(store.sync(), Err(Error::Failed)), "a failed sync is not tried again");
            assert!(matches!(store.save_vote(b"v"), Err(Error::Failed)));
            eprintln!("synced through {}", index - 1);
            // Without a drop, as a server that stops at once.
            // SAFETY: ends the process; nothing runs after it.
            unsafe { libc::_exit(0) };
        }
    }
    panic!("the limit did not bite");
}

#[test]
fn a_first_start_that_was_cut_off_starts_over_but_only_where_nothing_was_stored() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), options(Backend::Sled)).unwrap());
    std::fs::write(dir.path().join("log/conf"), [0; 64]).unwrap();
    let mut store = open(dir.path(), options(Backend::Sled)).unwrap();
    append(&mut *store, 0, 1, 10);
    store.sync().unwrap();
    drop(store);
    std::fs::write(dir.path().join("log/conf"), [0; 64]).unwrap();
    let error = open(dir.path(), options(Backend::Sled)).err().unwrap();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}
