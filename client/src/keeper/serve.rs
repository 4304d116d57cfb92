//! The keeper's loop: one thread, one epoll, one buffer.
//!
//! A wake-up reads at most a fixed share of each stream that is ready, so a task that never stops printing gets its turn
//! like everybody; it never waits for an agent, whose answers are queued within a bound.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::Signal;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::attempt::Attempt;
use super::cgroup::Groups;
use super::clock;
use super::clone::Stack;
use super::connection::Connection;
use super::guard::Held;
use super::journal::Journal;
use super::link::{Link, Message};
use super::message::Id;
use super::process::note;
use super::spawn::Origin;
use super::token::Token;
use crate::limits::{KEEPER_CONNECTIONS_MAX, KEEPER_COPY_BYTES};

/// What guard and keeper share: set up once by `ensure`, inherited by each keeper.
#[derive(Debug)]
pub(super) struct House {
    pub(super) listener: UnixListener,
    /// Held for as long as guard or keeper live.
    pub(super) _lock: OwnedFd,
    pub(super) socket: PathBuf,
    /// Directory of journal and name.
    pub(super) dir: PathBuf,
    /// Random name of this data directory's keepers; part of marks and control groups.
    pub(super) name: String,
    pub(super) end_with_agent: Option<Duration>,
    pub(super) remove_at_end: Vec<super::ensure::Removal>,
    pub(super) cgroups: Groups,
    pub(super) origin: Origin,
    pub(super) guard_pid: u32,
    pub(super) deaths: u32,
    /// The program all of this was forked from.
    pub(super) image: String,
    /// Where the first keeper says that it serves, or why not.
    pub(super) ready: Option<File>,
}

impl House {
    /// Tells the waiting agent, once, that the keeper serves or why it does not.
    pub(super) fn report_ready(&mut self, outcome: &Result<(), String>) {
        if let Some(mut ready) = self.ready.take() {
            let line = outcome.as_ref().map_or_else(|why| format!("{why}\n"), |()| "ok\n".into());
            // An agent that died meanwhile will find the socket next time.
            let _ = ready.write_all(line.as_bytes());
        }
    }
}

/// The keeper's state.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) house: House,
    pub(super) link: Link,
    pub(super) epoll: Epoll,
    timer: OwnedFd,
    signals: SignalFd,
    pub(super) buffer: Box<[u8]>,
    pub(super) null: File,
    pub(super) stack: Stack,
    pub(super) journal: Journal,
    pub(super) attempts: BTreeMap<u64, Attempt>,
    pub(super) by_id: HashMap<Id, u64>,
    pub(super) by_pid: HashMap<u32, u64>,
    /// Attempts whose main process has ended and whose tree has not.
    pub(super) leftovers: BTreeSet<u64>,
    /// Ends that are not collected, in the order in which they came.
    pub(super) ends: BTreeMap<u64, u64>,
    pub(super) next_end: u64,
    pub(super) next_slot: u64,
    pub(super) timers: BTreeSet<(u64, u64)>,
    timer_set: u64,
    /// Control groups that could not be removed yet.
    pub(super) old_groups: Vec<u64>,
    pub(super) connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    pub(super) idle: super::idle::Idle,
    pub(super) guard_lost: bool,
    /// Attempts that may run at once: each has two pipes and up to two log files, and some room must be left.
    pub(super) running_max: usize,
}

/// The slot of timers that concern the keeper itself.
pub(super) const HOUSEKEEPING: u64 = 0;

/// How a keeper's time ends.
pub(super) enum Outcome {
    /// The process exits with this code; 0 is on purpose.
    Exit(i32),
    /// The guard died: this process has to take its place, with all that is to be held.
    Orphaned(Box<House>, Vec<Held>),
}

/// Serves until there is nothing left to keep, or the guard is gone.
pub(super) fn run(mut house: House, link: Link, held: Vec<Held>) -> Outcome {
    super::process::rename(c"minijob keeper");
    let mut ready = house.ready.take();
    let mut keeper = match Keeper::new(house, link) {
        Ok(keeper) => keeper,
        Err(error) => {
            note(&format!("the keeper cannot serve: {error}"));
            let Some(mut ready) = ready else { return Outcome::Exit(1) };
            let _ = ready.write_all(format!("{error}\n").as_bytes());
            // Nothing is kept yet: the agent reports this, a guard that tries for ever would hide it.
            return Outcome::Exit(0);
        }
    };
    keeper.restore(held);
    keeper.house.ready = ready.take();
    keeper.house.report_ready(&Ok(()));
    match keeper.serve() {
        Some(code) => Outcome::Exit(code),
        None => {
            let (house, held) = keeper.hand_over();
            Outcome::Orphaned(Box::new(house), held)
        }
    }
}

impl Keeper {
    fn new(house: House, link: Link) -> io::Result<Keeper> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mask = super::process::block_all_signals([Signal::SIGTERM]);
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Boottime, flags)?;
        house.listener.set_nonblocking(true)?;
        let watch = |fd: BorrowedFd<'_>, token: Token| {
            epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token.pack()))
        };
        watch(house.listener.as_fd(), Token::Listener)?;
        watch(link.fd(), Token::Guard)?;
        watch(timer.as_fd(), Token::Timer)?;
        watch(signals.as_fd(), Token::Signals)?;
        let journal = Journal::new(&house.dir.join("journal"));
        let now = clock::boot_ms();
        let idle = super::idle::Idle::new(house.end_with_agent, now);
        Ok(Keeper {
            house,
            link,
            epoll,
            timer,
            signals,
            buffer: vec![0; KEEPER_COPY_BYTES].into_boxed_slice(),
            null: super::spawn::open_null()?,
            stack: Stack::new(),
            journal,
            attempts: BTreeMap::new(),
            by_id: HashMap::new(),
            by_pid: HashMap::new(),
            leftovers: BTreeSet::new(),
            ends: BTreeMap::new(),
            next_end: 1,
            next_slot: clock::wall_ms() << 16,
            timers: BTreeSet::new(),
            timer_set: 0,
            old_groups: Vec::new(),
            connections: BTreeMap::new(),
            next_connection: 1,
            idle,
            guard_lost: false,
            running_max: super::process::files_max().saturating_sub(64) / 5,
        })
    }

    /// Returns the exit code, or `None` when the guard is gone.
    fn serve(&mut self) -> Option<i32> {
        let mut events = [EpollEvent::empty(); 64];
        while !self.guard_lost {
            let now = clock::boot_ms();
            if let Some(code) = self.keep_house(now) {
                return Some(code);
            }
            self.set_timer();
            let count = self.epoll.wait(&mut events, EpollTimeout::NONE).unwrap_or(0);
            let ready: Vec<(Token, EpollFlags)> =
                events[..count].iter().map(|event| (Token::unpack(event.data()), event.events())).collect();
            // Ends first: neither timer nor request must signal a process that is known to have ended.
            self.hear_guard();
            let mut touched = HashSet::new();
            for (token, flags) in ready {
                match token {
                    Token::Guard => {}
                    Token::Timer => self.fire(clock::boot_ms()),
                    Token::Signals => self.hear_signals(),
                    Token::Listener => self.accept(),
                    Token::Connection(number) => {
                        if flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR)
                        {
                            self.read_connection(number);
                        }
                        touched.insert(number);
                    }
                    Token::Output(slot, which) => self.pump(slot, which, crate::limits::KEEPER_READ_BUDGET),
                }
            }
            self.settle(&touched);
            if self.journal.wants_rewrite() {
                let Keeper { journal, attempts, .. } = self;
                journal.rewrite(attempts.values().map(|attempt| &attempt.record));
            }
        }
        None
    }

    /// Takes all that the guard has to say.
    pub(super) fn hear_guard(&mut self) {
        let mut orphans = false;
        while !self.guard_lost {
            match self.link.receive() {
                Ok(Some(Message::Reaped { pid, status })) => match self.by_pid.remove(&pid) {
                    Some(slot) => self.main_ended(slot, Some(status)),
                    None => orphans = true,
                },
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    note(&format!("the guard is gone: {error}"));
                    self.guard_lost = true;
                }
            }
        }
        if orphans {
            let now = clock::boot_ms();
            for slot in self.leftovers.clone() {
                self.drive(slot, now);
            }
        }
    }

    fn hear_signals(&mut self) {
        while let Ok(Some(_)) = self.signals.read_signal() {
            self.idle.wish_to_leave(clock::boot_ms());
        }
    }

    fn accept(&mut self) {
        loop {
            let stream = match self.house.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // Out of descriptors: the listener stays ready, and the loop must not spin on it.
                    std::thread::sleep(Duration::from_millis(2));
                    return;
                }
            };
            if self.connections.len() >= KEEPER_CONNECTIONS_MAX {
                note("too many connections; one was refused");
                continue;
            }
            let number = self.next_connection;
            self.next_connection += 1;
            let Ok(connection) = Connection::new(stream) else { continue };
            let event = EpollEvent::new(connection.interest, Token::Connection(number).pack());
            if self.epoll.add(&connection.stream, event).is_ok() {
                self.connections.insert(number, connection);
            }
        }
    }

    fn read_connection(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if connection.has_room() && connection.read(&mut self.buffer).is_err() {
            self.drop_connection(number);
        }
    }

    /// Answers what was asked, pushes ends, and tells epoll what each connection waits for.
    fn settle(&mut self, touched: &HashSet<u64>) {
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            let Some(connection) = self.connections.get(&number) else { continue };
            let news = connection.watches && connection.next_end < self.next_end;
            if !touched.contains(&number) && !news {
                continue;
            }
            // A flush may make room for requests that were left in the buffer; two rounds are the end of it, for
            // epoll calls again when the socket takes more.
            for _ in 0..2 {
                if self.answer_requests(number).is_err() || self.push_ends(number).is_err() {
                    self.drop_connection(number);
                    break;
                }
            }
            self.update_interest(number);
        }
    }

    fn update_interest(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let wanted = connection.wanted();
        if wanted != connection.interest {
            connection.interest = wanted;
            let mut event = EpollEvent::new(wanted, Token::Connection(number).pack());
            if self.epoll.modify(&connection.stream, &mut event).is_err() {
                self.drop_connection(number);
            }
        }
    }

    fn push_ends(&mut self, number: u64) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
        while connection.watches && connection.has_room() {
            let Some((&seq, slot)) = self.ends.range(connection.next_end..).next() else {
                connection.next_end = self.next_end;
                break;
            };
            connection.next_end = seq + 1;
            if let Some(ended) = self.attempts.get(slot).and_then(|attempt| attempt.record.ended.clone()) {
                let say = Some(super::message::Say::Ended(ended));
                connection.push(&super::message::Answer { seq: 0, say });
            }
        }
        connection.flush()
    }

    pub(super) fn drop_connection(&mut self, number: u64) {
        if let Some(connection) = self.connections.remove(&number) {
            let _ = self.epoll.delete(&connection.stream);
        }
        self.idle.note_agents(self.agents(), clock::boot_ms());
    }

    /// Counts the agents: connections that watch for ends. One that only asks who is there is none.
    pub(super) fn agents(&self) -> usize {
        self.connections.values().filter(|connection| connection.watches).count()
    }

    /// Plans the next look at `slot`, in place of the one planned before.
    pub(super) fn plan(&mut self, slot: u64, at: Option<u64>) {
        let Some(attempt) = self.attempts.get_mut(&slot) else { return };
        if let Some(old) = attempt.wake.take() {
            self.timers.remove(&(old, slot));
        }
        if let Some(at) = at {
            attempt.wake = Some(at);
            self.timers.insert((at, slot));
        }
    }

    /// Plans a look at the keeper itself.
    pub(super) fn plan_housekeeping(&mut self, at: Option<u64>) {
        self.timers.retain(|&(_, slot)| slot != HOUSEKEEPING);
        if let Some(at) = at {
            self.timers.insert((at, HOUSEKEEPING));
        }
    }

    fn fire(&mut self, now: u64) {
        let mut spent = [0u8; 8];
        let _ = nix::unistd::read(&self.timer, &mut spent);
        self.timer_set = 0;
        while let Some(&(at, slot)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, slot));
            if slot != HOUSEKEEPING {
                if let Some(attempt) = self.attempts.get_mut(&slot) {
                    attempt.wake = None;
                }
                self.drive(slot, now);
            }
        }
    }

    fn set_timer(&mut self) {
        let at = self.timers.first().map_or(0, |&(at, _)| at.max(1));
        if at == self.timer_set {
            return;
        }
        let value = Timespec { tv_sec: (at / 1000) as i64, tv_nsec: (at % 1000 * 1_000_000) as i64 };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: zero, it_value: value };
        match rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec) {
            Ok(_) => self.timer_set = at,
            Err(error) => note(&format!("the timer cannot be set: {error}")),
        }
    }
}
