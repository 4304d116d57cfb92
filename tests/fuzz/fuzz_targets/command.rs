//! No bytes make the reader of commands panic; what is read is written as it was; applying it, refused or not, never panics and
//! leaves every invariant; and the state that it leads to survives its snapshot.
#![no_main]

use std::cell::OnceCell;

use fuzz::{commands, join, parts, seed, world};
use libfuzzer_sys::fuzz_target;
use server::core::state::{Kind, State, decode_command, encode_command, read_snapshot, write_snapshot};
use server::ops::bounds::check;

/// More commands in one input find nothing that fewer do not.
const COMMANDS: usize = 32;

thread_local!(static WORLD: OnceCell<State> = const { OnceCell::new() });

fn seeds() -> Vec<Vec<u8>> {
    let each: Vec<Vec<u8>> = commands().iter().map(encode_command).collect();
    let alone = each.iter().map(|bytes| join([bytes]));
    let pairs = each.windows(2).map(join);
    alone.chain(pairs).chain([join(&each)]).collect()
}

fuzz_target!(init: seed(seeds), |input: &[u8]| {
    let mut state = WORLD.with(|cell| cell.get_or_init(world).clone());
    for bytes in parts(input).take(COMMANDS) {
        let Ok(command) = decode_command(bytes) else { continue };
        // Nothing proposes a job that is outside of the limits: names that are none would be lost in events.
        if matches!(&command.kind, Kind::PutJob { job, .. } if check(job).is_err()) {
            continue;
        }
        let again = decode_command(&encode_command(&command)).expect("what was written is read");
        assert_eq!(again, command);
        let what = format!("{command:?}");
        state.apply(command);
        let found = state.check();
        assert!(found.is_empty(), "{found:#?}\nafter {what}");
    }
    let mut written = Vec::new();
    write_snapshot(&state, &mut written).expect("memory takes it");
    let read = read_snapshot(&mut written.as_slice()).expect("what was written is read");
    let found = read.check();
    assert!(found.is_empty(), "{found:#?}\nafter its snapshot");
    let mut again = Vec::new();
    write_snapshot(&read, &mut again).expect("memory takes it");
    assert!(written == again, "a state that was read is written as it was");
});
