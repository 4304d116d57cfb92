//! openraft's own conformance suite, over both back-ends.

use std::sync::Arc;

use openraft::testing::{StoreBuilder, Suite};

use super::applier::Applier;
use super::log::Log;
use super::log_store::writer::Writer;
use super::log_store::{self, Backend, Options};
use super::snapshots::Snapshots;
use super::testing::Adder;
use super::types::{StorageError, TypeConfig};

struct Builder(Backend);

impl StoreBuilder<TypeConfig<Adder>, Log<Adder>, Applier<Adder>, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, Log<Adder>, Applier<Adder>), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let store =
            log_store::open(dir.path(), Options { segment_bytes: 500, ..Options::new(self.0) }).unwrap();
        let (snapshots, damaged) = Snapshots::open(&dir.path().join("snapshots")).unwrap();
        let applier = Applier::load(Adder::default(), Arc::new(snapshots), damaged, None, 1).unwrap();
        Ok((dir, Log::new(Writer::start(store).unwrap()), applier))
    }
}

#[test]
fn sled_passes_the_suite() {
    Suite::test_all(Builder(Backend::Sled)).unwrap();
}

#[test]
fn segments_pass_the_suite() {
    Suite::test_all(Builder(Backend::Segments)).unwrap();
}
