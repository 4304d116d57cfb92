//! What is read is what was written, or an error.

use proptest::prelude::*;
use proto::time::Timestamp;

use super::*;
use crate::core::state::write_snapshot;
use crate::core::testing::{World, job};

fn state() -> State {
    let mut world = World::new(2);
    world.put(job("web", 3));
    world.settle_healthy();
    world.state
}

fn written(state: &State) -> Vec<u8> {
    write(state, &Meta::of(state, Timestamp(1_700_000_000_000)), Vec::new()).unwrap()
}

#[test]
fn a_state_comes_back_byte_by_byte_with_what_was_said_about_it() {
    let state = state();
    let archive = read(written(&state).as_slice()).unwrap();
    assert_eq!(archive.meta, Meta::of(&state, Timestamp(1_700_000_000_000)));
    assert_eq!((archive.meta.jobs, archive.meta.nodes, archive.meta.allocs), (1, 2, 3));
    let bytes = |state: &State| {
        let mut bytes = Vec::new();
        write_snapshot(state, &mut bytes).unwrap();
        bytes
    };
    assert_eq!(bytes(&archive.state), bytes(&state));
    assert_eq!(archive.content_bytes, bytes(&state).len() as u64);
    assert_eq!(archive.state.check(), vec![]);
}

#[test]
fn every_cut_and_every_addition_is_an_error() {
    let whole = written(&state());
    for cut in 0..whole.len() {
        assert!(read(&whole[..cut]).is_err(), "cut to {cut} of {} bytes", whole.len());
    }
    for added in [&b"\0"[..], b"\n", b"mjKEPT\r\n"] {
        assert!(matches!(read([&whole, added].concat().as_slice()), Err(Error::Damaged(_))));
    }
    assert!(read([whole.clone(), whole].concat().as_slice()).is_err());
}

#[test]
fn what_is_wrong_is_said() {
    let whole = written(&state());
    let said = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    assert_eq!(said(b"name: web\n"), "it is no snapshot of minijob");
    assert_eq!(said(b""), "it is no snapshot of minijob");
    let mut newer = whole.clone();
    newer[8] = 9;
    assert!(said(&newer).starts_with("it was written by a newer minijob: format 9, this one reads up to 1"));
    let mut damaged = whole.clone();
    let middle = whole.len() / 2;
    damaged[middle] ^= 1;
    assert_eq!(said(&damaged), "it is damaged: a checksum does not match, at block 0");
    assert_eq!(said(&whole[..whole.len() - 1]), "it is damaged: it ends early, at block 1");
    assert_eq!(said(&whole[..15]), "it is damaged: it ends inside its header");
}

proptest! {
    #[test]
    fn any_flipped_bit_is_an_error(bit: prop::sample::Index) {
        let mut bytes = written(&state());
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(read(bytes.as_slice()).is_err());
    }

    #[test]
    fn garbage_is_an_error(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), with_magic: bool) {
        if with_magic && bytes.len() >= 12 {
            bytes[..8].copy_from_slice(MAGIC);
            bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        }
        prop_assert!(read(bytes.as_slice()).is_err());
    }
}
