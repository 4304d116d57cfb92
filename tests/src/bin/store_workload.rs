//! Writes to a log store through the thread that owns it and marks each acknowledged op; run under the recorder of
//! `power_loss`. Arguments: directory, back-end, seed, ops, and `early` for the planted bug of acknowledging too soon.

#[allow(dead_code, missing_docs)]
#[path = "../../support/recorder/script.rs"]
mod script;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use script::{Op, Random, note, record};
use server::raft::log_store::writer::{Done, Job, Writer};
use server::raft::log_store::{Backend, Options, open};

/// Ops sent and not yet acknowledged, at most; some share a sync.
const WINDOW: u64 = 6;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, dir, backend, seed, count, mode] = &args[..] else { panic!("wrong arguments: {args:?}") };
    let backend = Backend::from_name(backend).expect("a back-end");
    let options = Options { segment_bytes: 24 << 10, ..Options::new(backend) };
    let seed = seed.parse().expect("a seed");
    let early = mode == "early";
    let marks = File::create(std::env::var("RECORDER_MARKS").expect("marks")).expect("the file of marks");
    let marks = Arc::new(Mutex::new(marks));
    let mark = move |op: usize| {
        marks.lock().expect("marks").write_all(&(op as u64).to_le_bytes()).expect("a mark");
    };

    let writer = Writer::start(open(Path::new(dir), options).expect("the store opens")).expect("a thread");
    let mut random = Random(seed ^ 1);
    let (acknowledge, acknowledged) = mpsc::channel();
    let mut waiting = 0;
    for (number, op) in script::script(seed, count.parse().expect("a count")).into_iter().enumerate() {
        let (mark_done, acknowledge) = (mark.clone(), acknowledge.clone());
        let done: Done = Box::new(move |result| {
            result.expect("the op is durable");
            if !early {
                mark_done(number);
            }
            acknowledge.send(()).expect("the main thread waits");
        });
        waiting += u64::from(!matches!(op, Op::Committed));
        writer.blocking_send(job(number, op, done)).expect("the writer runs");
        if early {
            mark(number);
        }
        let leave = random.below(WINDOW);
        while waiting > leave {
            acknowledged.recv().expect("the writer runs");
            waiting -= 1;
        }
    }
    while waiting > 0 {
        acknowledged.recv().expect("the writer runs");
        waiting -= 1;
    }
}

fn job(number: usize, op: Op, done: Done) -> Job {
    let note = note(number).into();
    match op {
        Op::Append { first, lengths } => {
            let records =
                (first..).zip(lengths).map(|(index, len)| record(number, index, len).into()).collect();
            Job::Append { first_index: first, records, done }
        }
        Op::Vote => Job::SaveVote { vote: note, done },
        Op::Committed => Job::SaveCommitted { committed: note },
        Op::Truncate(index) => Job::TruncateFrom { index, done },
        Op::Purge(index) => Job::PurgeThrough { index, last_purged: note, done },
    }
}
