use super::*;
use crate::limits::SNAPSHOT_BLOCK_BYTES;
use proptest::prelude::*;

fn written(meta: &[u8], content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.snapshot");
    let size = write(&path, meta, |out| out.write_all(content)).unwrap();
    assert_eq!(size, std::fs::metadata(&path).unwrap().len());
    (dir, path)
}

fn read(path: &Path) -> Result<(Vec<u8>, Vec<u8>), Box<dyn std::error::Error>> {
    let mut reader = Reader::open(path)?;
    let mut content = Vec::new();
    reader.read_to_end(&mut content)?;
    Ok((reader.meta().to_vec(), content))
}

#[test]
fn contents_of_every_size_come_back() {
    for len in [0, 1, SNAPSHOT_BLOCK_BYTES - 1, SNAPSHOT_BLOCK_BYTES, SNAPSHOT_BLOCK_BYTES * 2 + 1] {
        let content: Vec<u8> = (0..len).map(|i| (i % 253) as u8).collect();
        let (_dir, path) = written(b"meta", &content);
        assert_eq!(read(&path).unwrap(), (b"meta".to_vec(), content), "length {len}");
        assert_eq!(Reader::open(&path).unwrap().drain().unwrap(), len as u64);
    }
}

#[test]
fn a_writer_that_fails_leaves_nothing_behind() {
    let (dir, path) = written(b"meta", b"before");
    let error = write(&path, b"meta", |out| {
        out.write_all(b"half")?;
        Err(io::Error::other("no more"))
    });
    assert!(matches!(error, Err(Error::Io { .. })));
    assert_eq!(read(&path).unwrap().1, b"before");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (_dir, path) = written(b"meta", b"content");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 9;
    std::fs::write(&path, bytes).unwrap();
    let error = Reader::open(&path).unwrap_err().to_string();
    assert!(
        error.ends_with("was written by a newer minijob: format 9, this binary reads up to 1"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn any_flipped_bit_is_an_error(content in proptest::collection::vec(any::<u8>(), 0..200), bit: prop::sample::Index) {
        let (_dir, path) = written(b"meta", &content);
        let mut bytes = std::fs::read(&path).unwrap();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, bytes).unwrap();
        prop_assert!(read(&path).is_err());
    }

    #[test]
    fn any_cut_and_any_addition_is_an_error(cut: prop::sample::Index, added in proptest::collection::vec(any::<u8>(), 1..20)) {
        let (_dir, path) = written(b"meta", &[7; 100]);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..cut.index(whole.len())]).unwrap();
        prop_assert!(read(&path).is_err());
        std::fs::write(&path, [whole, added].concat()).unwrap();
        prop_assert!(read(&path).is_err());
    }

    #[test]
    fn garbage_is_an_error(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), with_magic: bool) {
        let (_dir, path) = written(b"", b"");
        if with_magic && bytes.len() >= 12 {
            bytes[..8].copy_from_slice(MAGIC);
            bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        }
        std::fs::write(&path, bytes).unwrap();
        prop_assert!(read(&path).is_err());
    }
}
