//! The link between guard and keeper: one packet socket, fixed binary messages, file descriptors beside them.
//!
//! The guard decodes nothing but this header: a record is opaque to it. `Pid` is sent by the task's own process in
//! the instant before `exec`, so the guard knows whose end it reaps even if the keeper dies between the two.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};

use crate::limits::GUARD_MESSAGE_BYTES_MAX;

/// Bytes of a message before its record: kind and slot.
pub(super) const HEAD_BYTES: usize = 9;
/// The kind byte of [`Message::Pid`], which `spawn` writes by hand.
pub(super) const KIND_PID: u8 = 2;

const KIND_KEEP: u8 = 1;
const KIND_UPDATE: u8 = 3;
const KIND_FORGET: u8 = 4;
const KIND_REAPED: u8 = 5;

/// One message, either way.
#[derive(Debug)]
pub(super) enum Message {
    /// To the guard: hold these pipes (stdout, stderr) and this record.
    Keep { slot: u64, record: Vec<u8>, pipes: Vec<OwnedFd> },
    /// To the guard: the slot's main process, from that process itself.
    Pid { slot: u64, pid: u32 },
    /// To the guard: the record has changed.
    Update { slot: u64, record: Vec<u8> },
    /// To the guard: drop record, pipes and status.
    Forget { slot: u64 },
    /// To the keeper: a child was reaped; it may be a main process or an orphan.
    Reaped { pid: u32, status: i32 },
}

/// One end of the link.
#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
}

impl Link {
    /// Makes both ends. They block; [`Link::receive`] does not.
    pub(super) fn pair() -> io::Result<(Link, Link)> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Link { socket: a }, Link { socket: b }))
    }

    /// Returns the descriptor to poll.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.socket.as_fd()
    }

    /// Sends `message`, waiting for room.
    pub(super) fn send(&self, message: &Message) -> io::Result<()> {
        self.send_with(message, MsgFlags::MSG_NOSIGNAL)
    }

    /// Sends `message` if there is room, else fails with `WouldBlock`.
    pub(super) fn try_send(&self, message: &Message) -> io::Result<()> {
        self.send_with(message, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT)
    }

    fn send_with(&self, message: &Message, flags: MsgFlags) -> io::Result<()> {
        let mut head = [0u8; HEAD_BYTES];
        let mut small = [0u8; 8];
        let (kind, slot, body, pipes): (u8, u64, &[u8], &[OwnedFd]) = match message {
            Message::Keep { slot, record, pipes } => (KIND_KEEP, *slot, record, pipes),
            Message::Pid { slot, pid } => {
                small[..4].copy_from_slice(&pid.to_le_bytes());
                (KIND_PID, *slot, &small[..4], &[])
            }
            Message::Update { slot, record } => (KIND_UPDATE, *slot, record, &[]),
            Message::Forget { slot } => (KIND_FORGET, *slot, &[], &[]),
            Message::Reaped { pid, status } => {
                small[..4].copy_from_slice(&pid.to_le_bytes());
                small[4..].copy_from_slice(&status.to_le_bytes());
                (KIND_REAPED, 0, &small, &[])
            }
        };
        head[0] = kind;
        head[1..].copy_from_slice(&slot.to_le_bytes());
        let raw: Vec<RawFd> = pipes.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
        let parts = [IoSlice::new(&head), IoSlice::new(body)];
        loop {
            match sendmsg::<()>(self.socket.as_raw_fd(), &parts, control, flags, None) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Takes the next message, `None` when there is none yet.
    ///
    /// # Errors
    /// `UnexpectedEof` when the other side is gone; what it sent before that has been delivered by then.
    pub(super) fn receive(&self) -> io::Result<Option<Message>> {
        let mut bytes = [0u8; GUARD_MESSAGE_BYTES_MAX];
        let mut control = nix::cmsg_space!([RawFd; 2]);
        let (length, pipes) = loop {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                Ok(received) => {
                    let mut pipes = Vec::new();
                    for message in received.cmsgs().map_err(io::Error::from)? {
                        if let ControlMessageOwned::ScmRights(fds) = message {
                            // SAFETY: the kernel has just made these descriptors for this process alone.
                            pipes.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                        }
                    }
                    break (received.bytes, pipes);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                // Said once, and before what is queued, when the other side died with messages unread. Giving up here
                // would lose its last words, the pid of a child among them.
                Err(Errno::ECONNRESET) => {}
                Err(errno) => return Err(errno.into()),
            }
        };
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        parse(&bytes[..length], pipes).map(Some)
    }
}

fn parse(bytes: &[u8], pipes: Vec<OwnedFd>) -> io::Result<Message> {
    let broken =
        || io::Error::new(io::ErrorKind::InvalidData, "a message on the guard's link makes no sense");
    let (head, body) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or_else(broken)?;
    let slot = u64::from_le_bytes(head[1..].try_into().expect("nine bytes less one are eight"));
    let word = |at: usize| {
        let four = body.get(at..at + 4).ok_or_else(broken)?;
        Ok::<_, io::Error>(u32::from_le_bytes(four.try_into().expect("a range of four is four bytes")))
    };
    match head[0] {
        KIND_KEEP => Ok(Message::Keep { slot, record: body.to_vec(), pipes }),
        KIND_PID => Ok(Message::Pid { slot, pid: word(0)? }),
        KIND_UPDATE => Ok(Message::Update { slot, record: body.to_vec() }),
        KIND_FORGET => Ok(Message::Forget { slot }),
        KIND_REAPED => Ok(Message::Reaped { pid: word(0)?, status: word(4)? as i32 }),
        _ => Err(broken()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn pipes_cross_the_link_with_their_record() {
        let (a, b) = Link::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let keep = Message::Keep { slot: 7, record: b"record".to_vec(), pipes: vec![writer.into()] };
        a.send(&keep).unwrap();
        drop(keep);
        let Some(Message::Keep { slot: 7, record, mut pipes }) = b.receive().unwrap() else {
            panic!("no Keep")
        };
        assert_eq!(record, b"record");
        let mut file = std::fs::File::from(pipes.pop().unwrap());
        file.write_all(b"through").unwrap();
        drop(file);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "through");
    }

    #[test]
    fn what_was_sent_before_death_is_read_after_it() {
        let (a, b) = Link::pair().unwrap();
        a.send(&Message::Reaped { pid: 5, status: -1 }).unwrap();
        // Unread by the dying side: the kernel reports that as a reset before it delivers what is queued.
        b.send(&Message::Forget { slot: 1 }).unwrap();
        drop(a);
        assert!(matches!(b.receive().unwrap(), Some(Message::Reaped { pid: 5, status: -1 })));
        assert_eq!(b.receive().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
