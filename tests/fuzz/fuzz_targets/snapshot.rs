//! Bytes are an error or a state, never a panic, and a state that was read is written and read again as it is.
#![no_main]

use fuzz::{commands, seed, world};
use libfuzzer_sys::fuzz_target;
use server::core::state::{State, read_snapshot, write_snapshot};

fn written(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_snapshot(state, &mut bytes).expect("memory takes it");
    bytes
}

fn seeds() -> Vec<Vec<u8>> {
    let mut state = world();
    let mut seeds = vec![written(&State::default()), written(&state)];
    for command in commands() {
        state.apply(command);
        seeds.push(written(&state));
    }
    seeds
}

fuzz_target!(init: seed(seeds), |input: &[u8]| {
    let Ok(state) = read_snapshot(&mut &input[..]) else { return };
    let once = written(&state);
    let again = read_snapshot(&mut once.as_slice()).unwrap_or_else(|error| panic!("what was written is not read: {error:?}"));
    assert!(written(&again) == once, "a state that was read is written as it was");
});
