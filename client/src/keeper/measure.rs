//! What an attempt uses, measured when it is asked for and once more at its end.

use super::message::Usage;
use super::serve::Keeper;

impl Keeper {
    /// Measures an attempt; one that has ended answers with its last.
    pub(super) fn measure(&mut self, slot: u64) -> Usage {
        let Some(attempt) = self.attempts.get(&slot) else { return Usage::default() };
        if attempt.has_ended() {
            return attempt.record.used.as_deref().copied().unwrap_or_default();
        }
        let init = attempt.record.init_pid;
        let mut members = self.members(slot);
        members.retain(|&pid| pid != init);
        self.note_usage(slot, &members)
    }

    /// Measures an attempt of these processes and remembers it.
    pub(super) fn note_usage(&mut self, slot: u64, members: &[u32]) -> Usage {
        let now = self.house.cgroups.usage(slot, members);
        let Some(attempt) = self.attempts.get_mut(&slot) else { return now };
        let before = attempt.record.used.as_deref().copied().unwrap_or_default();
        // Where no group counts, processes that have ended take their share with them: what was known stays known.
        let known = Usage {
            memory_bytes: now.memory_bytes.or(before.memory_bytes.map(|_| 0)),
            memory_peak_bytes: now.memory_peak_bytes.max(before.memory_peak_bytes),
            cpu_us: now.cpu_us.max(before.cpu_us),
            processes: now.processes,
        };
        attempt.record.used = (known != Usage::default()).then(|| Box::new(known));
        known
    }
}
