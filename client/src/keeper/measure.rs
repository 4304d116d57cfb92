//! What an attempt uses, measured when it is asked for.

use super::message::Usage;
use super::serve::Keeper;

impl Keeper {
    /// Measures an attempt; one that has ended answers with its last.
    pub(super) fn measure(&mut self, slot: u64) -> Usage {
        let Some(attempt) = self.attempts.get(&slot) else { return Usage::default() };
        if let (true, Some(used)) = (attempt.has_ended(), attempt.record.used) {
            return used;
        }
        let init = attempt.record.init_pid;
        let mut members = self.members(slot);
        members.retain(|&pid| pid != init);
        let now = self.house.cgroups.usage(slot, &members);
        let Some(attempt) = self.attempts.get_mut(&slot) else { return now };
        // Where no group counts, processes that have ended take their share with them: what was known stays known.
        attempt.used = Usage {
            memory_bytes: now.memory_bytes.or(attempt.used.memory_bytes.map(|_| 0)),
            memory_peak_bytes: now.memory_peak_bytes.max(attempt.used.memory_peak_bytes),
            cpu_us: now.cpu_us.max(attempt.used.cpu_us),
            processes: now.processes,
        };
        attempt.used
    }
}
