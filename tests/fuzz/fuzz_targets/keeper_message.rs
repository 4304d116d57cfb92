//! Any stream of bytes on the keeper's socket, from either side and cut anywhere, is frames or an error, never a panic and never a
//! buffer that grows without end; a message that was read is written and read again as it is.
#![no_main]

use bytes::BytesMut;
use client::keeper::frame::{decode, encode};
use client::keeper::message::{
    Answer, Ask, Collect, Done, Ended, Hello, Id, Item, Leave, List, Listing, Refused, Request, Say,
    SetDeadline, Signal, Start, StartFailed, Started, Stop, User, Variable, Welcome,
};
use fuzz::seed;
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(init: seed(seeds), |input: &[u8]| {
    let Some((cut, stream)) = input.split_first() else { return };
    let cut = usize::from(*cut).min(stream.len());
    read::<Request>(stream, cut);
    read::<Answer>(stream, cut);
});

/// Reads a stream that comes in two pieces, and the same one whole.
fn read<M: Message + Default + PartialEq>(stream: &[u8], cut: usize) {
    let (first, second) = stream.split_at(cut);
    let mut pieces = BytesMut::from(first);
    let (mut apart, mut failed) = (Vec::new(), take::<M>(&mut pieces).1);
    if !failed {
        let mut pieces = BytesMut::from(first);
        apart = take::<M>(&mut pieces).0;
        pieces.extend_from_slice(second);
        let (more, broke) = take::<M>(&mut pieces);
        apart.extend(more);
        failed = broke;
    }
    let (whole, broke) = take::<M>(&mut BytesMut::from(stream));
    assert!(failed == broke && (failed || whole == apart), "where a stream is cut changes nothing");
    for message in whole {
        let mut bytes = Vec::new();
        encode(&message, &mut bytes).expect("it was a frame");
        let again = decode::<M>(&mut BytesMut::from(&bytes[..])).expect("what was written is read");
        assert!(again.is_some_and(|again| again == message));
    }
}

/// Takes messages until there is none or an error.
fn take<M: Message + Default>(buffer: &mut BytesMut) -> (Vec<M>, bool) {
    let mut messages = Vec::new();
    loop {
        match decode::<M>(buffer) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, false),
            Err(_) => return (messages, true),
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let id = Id { alloc: 7, task: "web".into(), attempt: 2 };
    let start = Start {
        id: id.clone(),
        command: "/bin/true".into(),
        args: vec!["a".into()],
        env: vec![Variable { name: "A".into(), value: "b".into() }],
        user: Some(User { uid: 1, gid: 1, groups: vec![2] }),
        log_dir: "/tmp".into(),
        log_files: 2,
        log_file_bytes: 4096,
        stop_signal: 15,
        stop_timeout_ms: 5000,
        ..Default::default()
    };
    let asks = [
        Ask::Hello(Hello { version: 1, watch: true }),
        Ask::Start(Box::new(start)),
        Ask::Signal(Signal { id: id.clone(), signal: 1 }),
        Ask::Stop(Stop { id: id.clone(), signal: 15, timeout_ms: 5000 }),
        Ask::List(List { after: 3 }),
        Ask::Collect(Collect { id: id.clone() }),
        Ask::SetDeadline(SetDeadline { id: id.clone(), boot_ms: 99 }),
        Ask::Leave(Leave {}),
    ];
    let ended = Ended { id: id.clone(), cause: 2, code: 9, tail: "tail".into(), ..Default::default() };
    let item = Item { id, pid: 9, ended: Some(ended.clone()), ..Default::default() };
    let says = [
        Say::Welcome(Welcome { version: 1, version_oldest: 1, image: "i".into(), ..Default::default() }),
        Say::Started(Started { pid: 3, at_wall_ms: 4 }),
        Say::StartFailed(StartFailed { step: "exec".into(), errno: 2, message: "no".into(), hopeless: true }),
        Say::Done(Done {}),
        Say::Listing(Listing { items: vec![item], next: 4 }),
        Say::Ended(ended),
        Say::Refused(Refused { kind: "busy".into(), message: "no".into() }),
    ];
    let mut seeds = vec![vec![9], vec![9]];
    for (seq, ask) in (1..).zip(asks) {
        encode(&Request { seq, ask: Some(ask) }, &mut seeds[0]).expect("small");
    }
    for (seq, say) in (1..).zip(says) {
        encode(&Answer { seq, say: Some(say) }, &mut seeds[1]).expect("small");
    }
    seeds
}
