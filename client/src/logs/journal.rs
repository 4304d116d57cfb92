//! Output as messages of the node's journal, in journald's native protocol: one datagram per line.
//!
//! Whoever writes serves other tasks too, so nothing here ever waits: what the journal does not take at once, and lines beyond
//! [`JOURNAL_LINES_AT_ONCE`] of one read, are dropped and counted, and the journal is told when it takes messages again.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use super::files::Stream;
use crate::limits::{JOURNAL_LINE_BYTES_MAX, JOURNAL_LINES_AT_ONCE};

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// The way of one task's output to the journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    identifier: String,
    /// Opened with the first line.
    socket: Option<UnixDatagram>,
    /// What has come of a line that is not whole, per stream.
    partial: [Vec<u8>; 2],
    dropped: u64,
    /// Dropped bytes that the journal was not told of yet.
    unreported: u64,
}

impl Journal {
    /// Sends nothing yet; `identifier` is what `journalctl -t` looks for.
    #[must_use]
    pub fn new(identifier: String) -> Self {
        Self::at(SOCKET.into(), identifier)
    }

    fn at(path: PathBuf, identifier: String) -> Self {
        Self { path, identifier, socket: None, partial: Default::default(), dropped: 0, unreported: 0 }
    }

    /// Returns how many bytes were dropped in all.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Sends whole lines and keeps the rest until its end comes.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let which = place(stream);
        let mut rest = bytes;
        for _ in 0..JOURNAL_LINES_AT_ONCE {
            let partial = &mut self.partial[which];
            let room = JOURNAL_LINE_BYTES_MAX.saturating_sub(partial.len());
            let end = rest.iter().take(room).position(|byte| *byte == b'\n');
            if end.is_none() && rest.len() < room {
                partial.extend_from_slice(rest);
                return;
            }
            // A line without an end in reach is sent in parts.
            let (line, below) =
                end.map_or_else(|| rest.split_at(room), |end| (&rest[..end], &rest[end + 1..]));
            let mut whole = std::mem::take(partial);
            whole.extend_from_slice(line);
            if self.send(stream, &whole).is_err() {
                self.drop_bytes(whole.len() + below.len());
                return;
            }
            rest = below;
        }
        self.drop_bytes(rest.len());
    }

    /// Sends what has come of lines that will have no end.
    pub fn finish(&mut self) {
        for stream in Stream::ALL {
            let last = std::mem::take(&mut self.partial[place(stream)]);
            if !last.is_empty() && self.send(stream, &last).is_err() {
                self.drop_bytes(last.len());
            }
        }
    }

    fn drop_bytes(&mut self, bytes: usize) {
        self.dropped += bytes as u64;
        self.unreported += bytes as u64;
    }

    fn send(&mut self, stream: Stream, line: &[u8]) -> io::Result<()> {
        if self.unreported > 0 {
            let told = format!("[minijob: {} bytes of output were dropped here]", self.unreported);
            self.send_one(stream, told.as_bytes())?;
            self.unreported = 0;
        }
        if line.is_empty() {
            return Ok(());
        }
        self.send_one(stream, line)
    }

    fn send_one(&mut self, stream: Stream, line: &[u8]) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                socket
            }
        };
        // The priorities of syslog: information, and an error.
        let priority = if stream == Stream::Stdout { 6 } else { 3 };
        let mut message =
            format!("SYSLOG_IDENTIFIER={}\nPRIORITY={priority}\nMESSAGE=", self.identifier).into_bytes();
        message.extend_from_slice(line);
        message.push(b'\n');
        // By its path each time: a journal that was started anew has another socket there.
        let sent = socket.send_to(&message, &self.path);
        self.socket = Some(socket);
        sent.map(|_| ())
    }
}

const fn place(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> (tempfile::TempDir, UnixDatagram, Journal) {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("socket");
        let listener = UnixDatagram::bind(&path).expect("nobody has it");
        listener.set_nonblocking(true).expect("it is set");
        (dir, listener, Journal::at(path, "shop.api.0/web".into()))
    }

    fn take(listener: &UnixDatagram) -> Option<String> {
        let mut buffer = vec![0; 1 << 20];
        let length = listener.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    fn message(priority: u8, text: &str) -> String {
        format!("SYSLOG_IDENTIFIER=shop.api.0/web\nPRIORITY={priority}\nMESSAGE={text}\n")
    }

    #[test]
    fn every_line_is_one_message_with_the_priority_of_its_stream() {
        let (_dir, listener, mut journal) = journal();
        journal.write(Stream::Stdout, b"one\ntw");
        journal.write(Stream::Stderr, b"bad\n\n");
        journal.write(Stream::Stdout, b"o\nlast");
        journal.finish();
        let expected = [message(6, "one"), message(3, "bad"), message(6, "two"), message(6, "last")];
        for one in expected {
            assert_eq!(take(&listener), Some(one));
        }
        assert_eq!((take(&listener), journal.dropped()), (None, 0));
    }

    #[test]
    fn a_journal_that_is_not_there_or_does_not_read_costs_bytes_that_are_counted_and_no_time() {
        let (_dir, listener, mut journal) = journal();
        let mut printed = 0;
        while journal.dropped() == 0 {
            journal.write(Stream::Stdout, b"0123456789\n");
            printed += 1;
            assert!(printed < 100_000, "it never fills");
        }
        let dropped = journal.dropped();
        while take(&listener).is_some() {}
        journal.write(Stream::Stdout, b"again\n");
        let told = format!("[minijob: {dropped} bytes of output were dropped here]");
        assert_eq!(take(&listener), Some(message(6, &told)));
        assert_eq!(take(&listener), Some(message(6, "again")));

        let mut nowhere = Journal::at("/no/such/socket".into(), "x".into());
        nowhere.write(Stream::Stdout, b"12345\n");
        assert_eq!(nowhere.dropped(), 5);
    }

    #[test]
    fn an_endless_line_is_sent_in_parts_and_many_lines_of_one_read_are_cut() {
        let (_dir, listener, mut journal) = journal();
        journal.write(Stream::Stdout, &vec![b'x'; JOURNAL_LINE_BYTES_MAX + 7]);
        journal.finish();
        let sizes: Vec<usize> =
            std::iter::from_fn(|| take(&listener)).map(|text| text.matches('x').count()).collect();
        assert_eq!(sizes, [JOURNAL_LINE_BYTES_MAX, 7]);
        journal.write(Stream::Stdout, &b"y\n".repeat(JOURNAL_LINES_AT_ONCE + 10));
        assert!(journal.dropped() >= 20, "{}", journal.dropped());
    }
}
