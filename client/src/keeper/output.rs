//! The output of tasks, from their pipes to their files.

use std::time::{Duration, UNIX_EPOCH};

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::attempt::Attempt;
use super::process::note;
use super::serve::Keeper;
use super::token::Token;
use crate::limits::TAIL_BYTES_MAX;
use crate::logs::files::{self, Policy, Stream};
use crate::logs::writer::Place;

impl Attempt {
    /// Writes output of one stream to its files and remembers the last of it.
    pub(super) fn take_output(&mut self, which: usize, bytes: &[u8]) {
        let record = &self.record;
        let place = Place {
            dir: record.log_dir.as_ref(),
            task: &record.id.task,
            stream: Stream::ALL[which],
            policy: Policy { files: record.log_files, file_bytes: record.log_file_bytes },
        };
        self.sinks[which].write(place, bytes);
        self.extra.write(Stream::ALL[which], bytes);
        self.remember(bytes);
    }

    /// Takes the last output from the files, where the keeper that saw it has died.
    pub(super) fn recall_tail(&mut self) {
        let record = &self.record;
        let since = UNIX_EPOCH + Duration::from_millis(record.started_wall_ms);
        let mut last = Vec::new();
        for stream in Stream::ALL {
            last.extend(files::last_bytes(
                record.log_dir.as_ref(),
                &record.id.task,
                stream,
                since,
                TAIL_BYTES_MAX / 2,
            ));
        }
        self.remember(&last);
    }
}

impl Keeper {
    /// Registers the pipes of an attempt.
    pub(super) fn watch_output(&mut self, slot: u64) {
        let Some(attempt) = self.attempts.get(&slot) else { return };
        for (which, pipe) in attempt.pipes.iter().enumerate() {
            let Some(pipe) = pipe else { continue };
            let event = EpollEvent::new(EpollFlags::EPOLLIN, Token::Output(slot, which).pack());
            if let Err(errno) = self.epoll.add(pipe, event) {
                note(&format!("output of a task is not read: {}", errno.desc()));
            }
        }
    }

    /// Reads at most `budget` bytes of a stream into its files; closes it at its end.
    pub(super) fn pump(&mut self, slot: u64, which: usize, budget: usize) {
        let Keeper { attempts, buffer, epoll, .. } = self;
        let Some(attempt) = attempts.get_mut(&slot) else { return };
        let mut taken = 0;
        while taken < budget {
            let Some(pipe) = &attempt.pipes[which] else { return };
            match nix::unistd::read(pipe, buffer) {
                Ok(0) => {
                    // The guard holds the same pipe, so closing it here would leave it in the epoll.
                    let _ = epoll.delete(pipe);
                    attempt.pipes[which] = None;
                }
                Ok(bytes) => {
                    taken += bytes;
                    attempt.take_output(which, &buffer[..bytes]);
                }
                Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Stops reading both streams.
    pub(super) fn close_output(&mut self, slot: u64) {
        let Some(attempt) = self.attempts.get_mut(&slot) else { return };
        for pipe in &mut attempt.pipes {
            if let Some(pipe) = pipe.take() {
                let _ = self.epoll.delete(&pipe);
            }
        }
    }
}
