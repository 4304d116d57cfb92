//! One agent's connection as the keeper sees it: bytes in, bytes out, both bounded.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use bytes::BytesMut;
use nix::sys::epoll::EpollFlags;

use super::frame::{self, FrameError};
use super::message::{Answer, Request};
use crate::limits::KEEPER_OUT_BYTES_MAX;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: UnixStream,
    input: BytesMut,
    output: Vec<u8>,
    sent: usize,
    /// Whether a hello was accepted.
    pub(super) greeted: bool,
    /// Whether ends are pushed.
    pub(super) watches: bool,
    /// The first end not pushed yet. Ends wait in the keeper's state, not in a queue: a slow agent costs nothing.
    pub(super) next_end: u64,
    /// What epoll was last told to look for.
    pub(super) interest: EpollFlags,
}

impl Connection {
    /// Takes over a freshly accepted `stream`.
    pub(super) fn new(stream: UnixStream) -> io::Result<Connection> {
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            input: BytesMut::new(),
            output: Vec::new(),
            sent: 0,
            greeted: false,
            watches: false,
            next_end: 0,
            interest: EpollFlags::EPOLLIN,
        })
    }

    /// Reads once.
    ///
    /// # Errors
    /// `UnexpectedEof` when the agent is gone.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        match self.stream.read(buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => {
                self.input.extend_from_slice(&buffer[..bytes]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Takes the next request, unless its answer might not find room.
    pub(super) fn next_request(&mut self) -> Result<Option<Request>, FrameError> {
        let request = if self.has_room() { frame::decode(&mut self.input)? } else { None };
        if self.input.is_empty() {
            // One start with a large environment must not be remembered as capacity for ever.
            self.input = BytesMut::new();
        }
        Ok(request)
    }

    /// Whether more may be queued.
    pub(super) fn has_room(&self) -> bool {
        self.output.len() - self.sent < KEEPER_OUT_BYTES_MAX
    }

    /// Queues `answer`.
    pub(super) fn push(&mut self, answer: &Answer) {
        // Nothing the keeper says comes near the limit of a frame: pages are bounded, an end carries 4 KiB.
        let _ = frame::encode(answer, &mut self.output);
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.sent == self.output.len() {
            self.output = Vec::new();
            self.sent = 0;
        } else if self.sent > KEEPER_OUT_BYTES_MAX {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    /// What epoll should look for now.
    pub(super) fn wanted(&self) -> EpollFlags {
        let mut wanted = EpollFlags::empty();
        wanted.set(EpollFlags::EPOLLIN, self.has_room());
        wanted.set(EpollFlags::EPOLLOUT, self.sent < self.output.len());
        wanted
    }
}
