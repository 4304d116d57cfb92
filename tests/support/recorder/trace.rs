//! The events of the recorder, and how to get them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What happened to a file; the order is that of the effects.
#[derive(Debug)]
pub enum Event {
    Root {
        inode: u64,
        path: String,
    },
    Create {
        inode: u64,
        path: String,
    },
    Mkdir {
        inode: u64,
        path: String,
    },
    Write {
        inode: u64,
        offset: u64,
        data: Vec<u8>,
    },
    Truncate {
        inode: u64,
        len: u64,
    },
    /// `fsync` or `fdatasync`: both make content and size durable, and a directory's names.
    Sync {
        inode: u64,
        data_only: bool,
    },
    /// `sync_file_range`: durable is what it says, not what it does.
    Range,
    Rename {
        from: String,
        to: String,
    },
    Unlink {
        path: String,
    },
    /// The workload acknowledged an op.
    Mark(u64),
}

/// Compiles the recorder into `dir`.
pub fn compile(dir: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/recorder/recorder.c");
    let library = dir.join("recorder.so");
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-pthread", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output()
        .expect("a C compiler, `cc`, is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

/// Runs a command under the recorder, with `root` as the directory that is watched.
pub fn record(recorder: &Path, root: &Path, command: &mut Command) -> Vec<Event> {
    let trace = root.with_extension("trace");
    let output = command
        .env("LD_PRELOAD", recorder)
        .env("RECORDER_ROOT", root)
        .env("RECORDER_TRACE", &trace)
        .env("RECORDER_MARKS", root.with_extension("marks"))
        .output()
        .expect("the workload runs");
    assert!(output.status.success(), "the workload: {}", String::from_utf8_lossy(&output.stderr));
    parse(&std::fs::read(&trace).expect("a trace was written"))
}

fn parse(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let kind = take(&mut bytes, 1)[0];
        let mut number = |len: usize| {
            let mut buffer = [0; 8];
            buffer[..len].copy_from_slice(take(&mut bytes, len));
            u64::from_le_bytes(buffer)
        };
        let (inode, number, path_len, data_len) = (number(8), number(8), number(4), number(4));
        let path = String::from_utf8(take(&mut bytes, path_len as usize).to_vec()).expect("a path");
        let data = take(&mut bytes, data_len as usize).to_vec();
        events.push(match kind {
            0 => Event::Root { inode, path },
            1 => Event::Create { inode, path },
            2 => Event::Mkdir { inode, path },
            3 => Event::Write { inode, offset: number, data },
            4 => Event::Truncate { inode, len: number },
            5 => Event::Sync { inode, data_only: false },
            6 => Event::Sync { inode, data_only: true },
            7 => Event::Range,
            8 => Event::Rename { from: path, to: String::from_utf8(data).expect("a path") },
            9 => Event::Unlink { path },
            10 => Event::Mark(u64::from_le_bytes(data.try_into().expect("a mark"))),
            other => panic!("an event of kind {other}"),
        });
    }
    events
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (head, rest) = bytes.split_at(len);
    *bytes = rest;
    head
}
