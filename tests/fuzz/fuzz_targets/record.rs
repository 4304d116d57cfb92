//! What an agent reads of an allocation after its own death: bytes with a right checksum are an error or a record, never a panic,
//! and a record that was read is written and read again as it is.
#![no_main]

use std::collections::BTreeMap;

use client::core::spec::Spec;
use client::store::record::Record;
use fuzz::{job, seed};
use libfuzzer_sys::fuzz_target;
use proto::ids::{AllocId, Incarnation, JobVersion};
use proto::time::{BootTime, Timestamp};

/// Magic word, version and checksum.
const HEAD_BYTES: usize = 12;

fuzz_target!(init: seed(seeds), |body: &[u8]| {
    // As it comes, then with a head that fits.
    let _ = Record::decode(body);
    let bytes = [b"MJAL", &1u32.to_be_bytes()[..], &crc32fast::hash(body).to_be_bytes(), body].concat();
    let Ok(mut record) = Record::decode(&bytes) else { return };
    assert_eq!(Record::decode(&record.encode()).expect("what was written is read"), record);
    record.adopt_boot("another", BootTime(1));
    assert_eq!(Record::decode(&record.encode()).expect("what was written is read"), record);
});

fn seeds() -> Vec<Vec<u8>> {
    let job = job("web", 1);
    let spec = Spec {
        namespace: "default".into(),
        job: "web".into(),
        version: JobVersion(1),
        group_name: "web".into(),
        index: 0,
        kind: job.kind,
        meta: job.meta,
        group: job.groups["web"].clone(),
        ports: BTreeMap::from([("http".to_owned(), 20_000)]),
        fence: None,
    };
    let fresh = Record::new(AllocId(1), Incarnation(5), spec, "boot".into());
    let mut released = fresh.clone();
    released.released_at = Some(Timestamp(1_000));
    released.course.stop_ordered = true;
    [fresh, released].iter().map(|record| record.encode()[HEAD_BYTES..].to_vec()).collect()
}
