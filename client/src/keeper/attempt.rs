//! One attempt as the keeper holds it, and the decision what to do with it next.

use std::os::fd::OwnedFd;

use super::message::{self, Cause, Ended};
use super::record::Record;
use crate::limits::{KILL_REPEAT, LEFTOVER_POLL, TAIL_BYTES_MAX};
use crate::logs::Also;
use crate::logs::extra::{Extra, Owner};
use crate::logs::writer::Sink;

/// An attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) record: Record,
    /// stdout and stderr.
    pub(super) pipes: [Option<OwnedFd>; 2],
    pub(super) sinks: [Sink; 2],
    /// Where output goes beside its files.
    pub(super) extra: Extra,
    /// The last output of both, in the order of its arrival.
    tail: Vec<u8>,
    /// Whether the main process exists: its signals reach it and nobody else.
    pub(super) main_alive: bool,
    /// Whether a keeper before this one held it.
    pub(super) adopted: bool,
    /// Whether what the main process left behind was told to stop.
    pub(super) leftovers_told: bool,
    /// How often SIGKILL went to the tree.
    kills: u32,
    /// The pending timer.
    pub(super) wake: Option<u64>,
    /// Number of the end, 0 before it.
    pub(super) end_seq: u64,
}

/// What to do with an attempt now; times in ms of boot time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing before this time, if any.
    Wait(Option<u64>),
    /// Tell it to stop, because its fence is about to end it, then look again at this time.
    TellFenced(u64),
    /// SIGKILL to the whole tree for this reason, and look again at this time.
    Kill(Cause, u64),
    /// Tell what the main process left behind to stop, then look again at this time.
    TellLeftovers(u64),
    /// All processes are gone.
    Finish,
}

impl Attempt {
    /// Holds `record` with its pipes.
    pub(super) fn new(record: Record, pipes: [Option<OwnedFd>; 2], main_alive: bool) -> Attempt {
        Attempt {
            extra: extra_of(record.also.as_ref(), record.user.as_ref()),
            record,
            pipes,
            sinks: [Sink::default(), Sink::default()],
            tail: Vec::new(),
            main_alive,
            adopted: false,
            leftovers_told: false,
            kills: 0,
            wake: None,
            end_seq: 0,
        }
    }

    /// Whether all of its processes are gone.
    pub(super) fn has_ended(&self) -> bool {
        self.record.ended.is_some()
    }

    /// Asks for a stop whose SIGKILL is due at `kill_at`; a later one than known changes nothing.
    pub(super) fn want_stop(&mut self, kill_at: u64) {
        self.record.stopping |= self.main_alive;
        let known = self.record.kill_at_boot_ms;
        self.record.kill_at_boot_ms = if known == 0 { kill_at.max(1) } else { known.min(kill_at.max(1)) };
    }

    /// Whether its fence may be moved to that time, 0 being never: not further away once it has told the attempt to stop.
    pub(super) fn may_move_fence(&self, boot_ms: u64) -> bool {
        !self.record.fenced || (boot_ms != 0 && boot_ms <= self.record.deadline_boot_ms)
    }

    /// Decides what comes next; `is_empty` says whether no process is left, asked only after the main process ended.
    pub(super) fn decide(&mut self, now: u64, is_empty: impl FnOnce() -> bool) -> Next {
        let due = |at: u64| at != 0 && now >= at;
        let (kill_at, deadline) = (self.record.kill_at_boot_ms, self.record.deadline_boot_ms);
        let tell_at = match deadline {
            0 => 0,
            _ if self.record.fenced || self.record.stopping => 0,
            at => at.saturating_sub(self.record.fence_grace_ms).max(1),
        };
        let first = [kill_at, deadline, tell_at].into_iter().filter(|&at| at != 0).min();
        if !self.main_alive {
            if is_empty() {
                return Next::Finish;
            }
            if kill_at == 0 {
                self.record.kill_at_boot_ms = now + self.record.stop_timeout_ms.max(1);
            }
            if !self.leftovers_told && !due(kill_at) && !due(deadline) {
                self.leftovers_told = true;
                return Next::TellLeftovers(now + LEFTOVER_POLL.as_millis() as u64);
            }
        }
        if self.main_alive && due(tell_at) && !due(deadline) && !due(kill_at) {
            self.record.fenced = true;
            return Next::TellFenced(deadline);
        }
        if due(deadline) || due(kill_at) {
            let pause = (KILL_REPEAT.as_millis() as u64) << self.kills.min(5);
            self.kills += 1;
            let cause = if due(kill_at) { Cause::Killed } else { Cause::Lease };
            return Next::Kill(cause, now + pause);
        }
        if self.main_alive {
            return Next::Wait(first);
        }
        let poll = now + LEFTOVER_POLL.as_millis() as u64;
        Next::Wait(Some(first.map_or(poll, |first| first.min(poll))))
    }

    /// Appends output to the tail.
    pub(super) fn remember(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL_BYTES_MAX)..];
        let overflow = (self.tail.len() + bytes.len()).saturating_sub(TAIL_BYTES_MAX);
        self.tail.drain(..overflow);
        self.tail.extend_from_slice(bytes);
    }

    /// Whether output was seen since this keeper holds the attempt.
    pub(super) fn has_tail(&self) -> bool {
        !self.tail.is_empty()
    }

    /// Makes the end and remembers it in the record. `oom` is asked only for a SIGKILL that was not ours.
    pub(super) fn end(&mut self, wall_ms: u64, boot_ms: u64, oom: impl FnOnce() -> bool) -> Ended {
        self.extra.finish();
        let record = &self.record;
        let (cause, code) = cause(record.wait_status, record.killed, oom);
        // However it ended after that: it did so because of the fence.
        let fenced_off = record.fenced && !record.stopping && cause != Cause::Lost;
        let cause = if fenced_off { Cause::Lease } else { cause };
        let ended = Ended {
            id: record.id.clone(),
            cause: cause.into(),
            code,
            stopped: record.stopping,
            at_wall_ms: wall_ms,
            at_boot_ms: boot_ms,
            ran_ms: boot_ms.saturating_sub(record.started_boot_ms),
            tail: tail_text(&std::mem::take(&mut self.tail)),
            dropped_bytes: self.sinks.iter().map(Sink::dropped).sum::<u64>() + self.extra.dropped(),
            pid: record.pid,
        };
        self.record.ended = Some(ended.clone());
        ended
    }
}

/// Where output of an attempt goes beside its files.
pub(super) fn extra_of(also: Option<&message::Also>, user: Option<&message::User>) -> Extra {
    let Some(also) = also else { return Extra::default() };
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let owner = user.map(|user| Owner { uid: user.uid, gid: user.gid, groups: user.groups.clone() });
    Extra::new(Also { file: given(&also.file).map(Into::into), journal: given(&also.journal) }, owner)
}

fn cause(status: Option<i32>, killed: Option<i32>, oom: impl FnOnce() -> bool) -> (Cause, i32) {
    let Some(status) = status else { return (Cause::Lost, 0) };
    if !libc::WIFSIGNALED(status) {
        return (Cause::Exit, libc::WEXITSTATUS(status));
    }
    let signal = libc::WTERMSIG(status);
    match killed.and_then(|cause| Cause::try_from(cause).ok()) {
        Some(cause) if signal == libc::SIGKILL => (cause, signal),
        _ if signal == libc::SIGKILL && oom() => (Cause::Oom, signal),
        _ => (Cause::Signal, signal),
    }
}

/// Turns the last bytes into text of at most [`TAIL_BYTES_MAX`] bytes that begins with a whole line where it was cut.
fn tail_text(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    if bytes.len() < TAIL_BYTES_MAX {
        return text;
    }
    // Replacement characters take three bytes where one was.
    let least = text.len().saturating_sub(TAIL_BYTES_MAX);
    let from = (least..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let line = text[from..].find('\n').map(|at| from + at + 1).filter(|&line| line < text.len());
    text.drain(..line.unwrap_or(from));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(kill_at: u64, deadline: u64) -> Attempt {
        let record = Record {
            pid: 7,
            kill_at_boot_ms: kill_at,
            deadline_boot_ms: deadline,
            stop_timeout_ms: 3000,
            ..Record::default()
        };
        Attempt::new(record, [None, None], true)
    }

    fn never() -> bool {
        panic!("asked for the tree of a living main process")
    }

    #[test]
    fn a_running_attempt_waits_for_the_nearest_of_its_deadlines() {
        assert_eq!(running(0, 0).decide(1000, never), Next::Wait(None));
        assert_eq!(running(5000, 4000).decide(1000, never), Next::Wait(Some(4000)));
    }

    #[test]
    fn a_passed_deadline_kills_and_goes_on_killing() {
        let mut attempt = running(0, 900);
        assert_eq!(attempt.decide(1000, never), Next::Kill(Cause::Lease, 1020));
        assert_eq!(attempt.decide(1020, never), Next::Kill(Cause::Lease, 1060));
        assert_eq!(running(1000, 0).decide(1000, never), Next::Kill(Cause::Killed, 1020));
    }

    #[test]
    fn a_fence_tells_before_it_kills_and_the_end_is_its_own() {
        let mut attempt = running(0, 5000);
        attempt.record.fence_grace_ms = 1000;
        assert_eq!(attempt.decide(3999, never), Next::Wait(Some(4000)));
        assert_eq!(attempt.decide(4000, never), Next::TellFenced(5000));
        assert_eq!(attempt.decide(4001, never), Next::Wait(Some(5000)));
        assert!(!attempt.may_move_fence(9000), "it is on its way out");
        assert!(attempt.may_move_fence(4500), "nearer is safe");
        attempt.record.wait_status = Some(0);
        assert_eq!(attempt.end(0, 0, || false).cause, i32::from(Cause::Lease));
    }

    #[test]
    fn what_was_told_to_stop_is_not_told_again_by_its_fence_but_killed_by_it() {
        let mut attempt = running(0, 5000);
        attempt.record.fence_grace_ms = 1000;
        attempt.want_stop(60_000);
        assert_eq!(attempt.decide(4000, never), Next::Wait(Some(5000)));
        assert!(matches!(attempt.decide(5000, never), Next::Kill(Cause::Lease, _)));
    }

    #[test]
    fn leftovers_are_told_once_then_killed_after_the_stop_timeout() {
        let mut attempt = running(0, 0);
        attempt.main_alive = false;
        assert_eq!(attempt.decide(1000, || false), Next::TellLeftovers(1100));
        assert_eq!(attempt.decide(1100, || false), Next::Wait(Some(1200)));
        assert!(matches!(attempt.decide(4000, || false), Next::Kill(Cause::Killed, _)));
        assert_eq!(attempt.decide(4020, || true), Next::Finish);
    }

    #[test]
    fn a_second_stop_only_brings_the_kill_nearer() {
        let mut attempt = running(0, 0);
        attempt.want_stop(5000);
        attempt.want_stop(9000);
        assert_eq!(attempt.record.kill_at_boot_ms, 5000);
        attempt.want_stop(2000);
        assert_eq!(attempt.record.kill_at_boot_ms, 2000);
    }

    #[test]
    fn a_stop_that_needed_sigkill_is_not_an_oom_kill() {
        let killed = Some(Cause::Killed.into());
        assert_eq!(cause(Some(libc::SIGKILL), killed, || true), (Cause::Killed, 9));
        assert_eq!(cause(Some(libc::SIGKILL), None, || true), (Cause::Oom, 9));
        assert_eq!(cause(Some(libc::SIGKILL), None, || false), (Cause::Signal, 9));
        assert_eq!(cause(Some(libc::SIGTERM), killed, || true), (Cause::Signal, 15));
        assert_eq!(cause(Some(7 << 8), killed, || true), (Cause::Exit, 7));
        assert_eq!(cause(None, killed, || true), (Cause::Lost, 0));
    }

    #[test]
    fn the_tail_is_bounded_and_begins_with_a_whole_line() {
        let mut attempt = running(0, 0);
        for line in 0..10_000 {
            attempt.remember(format!("line {line}\n").as_bytes());
        }
        attempt.remember(&[0xff; 100]);
        let text = attempt.end(0, 0, || false).tail;
        assert!(text.len() <= TAIL_BYTES_MAX);
        assert!(text.starts_with("line "), "{text:.20}");
        attempt.remember(&[b'x'; 100_000]);
        assert_eq!(attempt.end(0, 0, || false).tail.len(), TAIL_BYTES_MAX);
    }
}
