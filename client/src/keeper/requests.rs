//! Answers to the agent's requests.

use std::io;

use super::clock;
use super::message::{
    Answer, Ask, Done, Hello, Id, Item, Listing, Refused, Request, Say, Signal, Start, Stop, VERSION,
    VERSION_OLDEST, Welcome,
};
use super::serve::Keeper;
use crate::limits::{KEEPER_ATTEMPTS_MAX, KEEPER_LIST_PAGE};

impl Keeper {
    /// Answers what a connection has asked, as far as its queue has room.
    ///
    /// # Errors
    /// When the connection must be closed.
    pub(super) fn answer_requests(&mut self, number: u64) -> io::Result<()> {
        loop {
            let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
            let request = connection
                .next_request()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let Some(Request { seq, ask }) = request else { break };
            let greeted = connection.greeted;
            let say = match ask {
                Some(Ask::Hello(hello)) => self.greet(number, &hello),
                Some(ask) if greeted => self.answer(ask),
                Some(_) => refuse("invalid", "the first request must be a hello"),
                None => refuse("invalid", "this keeper does not know the request"),
            };
            if let Some(connection) = self.connections.get_mut(&number) {
                connection.push(&Answer { seq, say: Some(say) });
            }
        }
        match self.connections.get_mut(&number) {
            Some(connection) => connection.flush(),
            None => Ok(()),
        }
    }

    fn greet(&mut self, number: u64, hello: &Hello) -> Say {
        let compatible = hello.version >= VERSION_OLDEST;
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.greeted = compatible;
            connection.watches = compatible && hello.watch;
        }
        self.idle.note_agents(self.agents(), clock::boot_ms());
        Say::Welcome(Welcome {
            version: VERSION,
            version_oldest: VERSION_OLDEST,
            keeper_pid: std::process::id(),
            guard_pid: self.house.guard_pid,
            attempts: self.attempts.len() as u32,
            deaths: self.house.deaths,
            image: self.house.image.clone(),
        })
    }

    fn answer(&mut self, ask: Ask) -> Say {
        match ask {
            Ask::Hello(_) => refuse("invalid", "one hello is enough"),
            Ask::Start(start) => self.answer_start(&start),
            Ask::Signal(Signal { id, signal }) => match self.running(&id) {
                Err(refusal) => refusal,
                Ok(_) if !(1..=64).contains(&signal) => refuse("invalid", "there is no such signal"),
                Ok(slot) => {
                    self.signal_main(slot, signal);
                    Say::Done(Done {})
                }
            },
            Ask::Stop(Stop { id, signal, timeout_ms }) => match self.running(&id) {
                Err(refusal) => refusal,
                Ok(_) if !(1..=64).contains(&signal) => refuse("invalid", "there is no such signal"),
                Ok(slot) => {
                    self.stop(slot, signal, timeout_ms);
                    Say::Done(Done {})
                }
            },
            Ask::List(list) => self.list(list.after),
            Ask::Collect(collect) => match self.by_id.get(&collect.id) {
                None => Say::Done(Done {}),
                Some(slot) if self.leftovers.contains(slot) || !self.ended(*slot) => {
                    refuse("running", "an attempt that has not ended cannot be collected")
                }
                Some(&slot) => {
                    self.collect(slot);
                    Say::Done(Done {})
                }
            },
            Ask::SetDeadline(fence) => match self.running(&fence.id) {
                Err(refusal) => refusal,
                Ok(slot) => {
                    self.set_deadline(slot, fence.boot_ms);
                    Say::Done(Done {})
                }
            },
            Ask::Stats(stats) => match self.by_id.get(&stats.id) {
                None => refuse("unknown", "the keeper does not know this attempt"),
                Some(&slot) => Say::Usage(self.measure(slot)),
            },
            Ask::Leave(_) if !self.attempts.is_empty() => refuse("busy", "the keeper holds attempts"),
            Ask::Leave(_) => {
                self.idle.order_to_leave();
                Say::Done(Done {})
            }
        }
    }

    fn answer_start(&mut self, start: &Start) -> Say {
        if let Some(attempt) = self.by_id.get(&start.id).and_then(|slot| self.attempts.get(slot)) {
            let record = &attempt.record;
            return Say::Started(super::message::Started {
                pid: record.pid,
                at_wall_ms: record.started_wall_ms,
            });
        }
        if self.idle.is_leaving() {
            return refuse("leaving", "the keeper is about to leave");
        }
        if self.attempts.len() >= KEEPER_ATTEMPTS_MAX {
            return refuse("full", "the keeper holds as many attempts as it may; collect the ended ones");
        }
        if self.attempts.len() - self.ends.len() >= self.running_max {
            return refuse(
                "full",
                "the keeper has no descriptors left for another task; raise the limit of open files",
            );
        }
        match self.start(start) {
            Ok(started) => Say::Started(started),
            Err(failure) => Say::StartFailed(failure),
        }
    }

    fn list(&self, after: u64) -> Say {
        let mut items = Vec::new();
        for (&slot, attempt) in self.attempts.range(after + 1..) {
            if items.len() == KEEPER_LIST_PAGE {
                break;
            }
            let record = &attempt.record;
            // Tails travel with the pushed ends: a page must stay small.
            let ended =
                record.ended.clone().map(|ended| super::message::Ended { tail: String::new(), ..ended });
            items.push((
                slot,
                Item {
                    id: record.id.clone(),
                    pid: record.pid,
                    started_wall_ms: record.started_wall_ms,
                    ended,
                    stopping: record.stopping,
                },
            ));
        }
        let next =
            if items.len() == KEEPER_LIST_PAGE { items.last().map_or(0, |(slot, _)| *slot) } else { 0 };
        Say::Listing(Listing { items: items.into_iter().map(|(_, item)| item).collect(), next })
    }

    fn ended(&self, slot: u64) -> bool {
        self.attempts.get(&slot).is_some_and(super::attempt::Attempt::has_ended)
    }

    /// Finds an attempt that has not ended. One that has is no error: what was asked for can no longer be missed.
    fn running(&self, id: &Id) -> Result<u64, Say> {
        match self.by_id.get(id) {
            None => Err(refuse("unknown", "the keeper does not know this attempt")),
            Some(&slot) if self.ended(slot) => Err(Say::Done(Done {})),
            Some(&slot) => Ok(slot),
        }
    }
}

fn refuse(kind: &str, message: &str) -> Say {
    Say::Refused(Refused { kind: kind.into(), message: message.into() })
}
