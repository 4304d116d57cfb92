//! From keeper to keeper: what the next one takes over, and what it gives up when its guard has died.

use prost::Message as _;

use super::attempt::Attempt;
use super::clock;
use super::guard::Held;
use super::journal;
use super::link::Message;
use super::process::note;
use super::record::Record;
use super::serve::{House, Keeper};

impl Keeper {
    /// Takes over what the guard holds and what the journal tells beyond that.
    pub(super) fn restore(&mut self, held: Vec<Held>) {
        let mut journaled = journal::load(&self.house.dir.join("journal"));
        let mut records = 0;
        for held in held {
            journaled.retain(|record| record.slot != held.slot);
            records += usize::from(self.restore_held(held));
        }
        for record in journaled {
            records += 1;
            self.next_slot = self.next_slot.max(record.slot + 1);
            let slot = record.slot;
            let record = Record { foreign: true, ..record };
            self.adopt(Attempt::new(record, [None, None], false));
            if self.attempts.get(&slot).is_some_and(|attempt| !attempt.has_ended()) {
                // Its guard is gone, and its pipes with it: what still runs of it is ended, then it is lost.
                self.main_ended(slot, None);
            }
        }
        for slot in self.house.cgroups.slots() {
            if !self.attempts.contains_key(&slot) {
                // The journal was behind (a full disk) when guard and keeper died. Nobody will ever ask for it, and its
                // replacement may already be on its way.
                self.house.cgroups.kill(slot);
                self.remove_group(slot);
            }
        }
        if records > 0 {
            note(&format!("took over {records} attempts"));
        }
        let Keeper { journal, attempts, .. } = self;
        journal.rewrite(attempts.values().map(|attempt| &attempt.record));
    }

    fn restore_held(&mut self, held: Held) -> bool {
        let Ok(mut record) = Record::decode(&held.record[..]) else {
            note("a record held by the guard cannot be read");
            return false;
        };
        let slot = held.slot;
        self.next_slot = self.next_slot.max(slot + 1);
        // A program that ran, exited with 127 and lost its keeper between exec and the next message looks like one that did
        // not run; that instant is what a second run costs to exclude.
        let never_ran = held.pid == 0 && record.pid == 0;
        let failed_to_run = !record.confirmed && held.status.is_some_and(|status| status == 127 << 8);
        if record.ended.is_none() && (never_ran || failed_to_run) {
            // The agent had no answer and asks again. Only an init may have been made for it.
            if let Some(init) = record.init() {
                init.kill();
            }
            let _ = self.link.send(&Message::Forget { slot });
            self.remove_group(slot);
            return false;
        }
        if record.ended.is_some() {
            self.adopt(Attempt::new(record, [None, None], false));
            return true;
        }
        record.pid = held.pid.max(record.pid);
        record.confirmed = true;
        let (pid, status) = (record.pid, held.status);
        let mut pipes = held.pipes.into_iter();
        let attempt = Attempt::new(record, [pipes.next(), pipes.next()], status.is_none());
        self.adopt(attempt);
        self.watch_output(slot);
        if status.is_some() {
            self.main_ended(slot, status);
        } else {
            self.by_pid.insert(pid, slot);
            self.drive(slot, clock::boot_ms());
        }
        true
    }

    fn adopt(&mut self, mut attempt: Attempt) {
        let (slot, ended) = (attempt.record.slot, attempt.has_ended());
        attempt.adopted = true;
        self.by_id.insert(attempt.record.id.clone(), slot);
        self.attempts.insert(slot, attempt);
        if ended {
            self.remember_end(slot);
        }
    }

    /// Gives up all it has, for the next keeper under this process as its guard.
    pub(super) fn hand_over(self) -> (House, Vec<Held>) {
        let held = self.attempts.into_values().map(|mut attempt| {
            attempt.record.foreign = true;
            let Attempt { record, pipes, main_alive, .. } = attempt;
            let over = !main_alive;
            let bytes = record.encode_to_vec();
            let mut held =
                Held::foreign(record.slot, bytes, pipes.into_iter().flatten().collect(), record.pid, over);
            held.status = held.status.or(record.wait_status);
            held
        });
        (self.house, held.collect())
    }
}
