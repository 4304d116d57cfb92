//! What an agent remembers of an allocation as a whole, beside what it knows of each task.

use proto::time::BootTime;

/// See the module. Everything else about the order of tasks follows from their states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// Servers, or the owner of the agent, want it to end.
    pub stop_ordered: bool,
    /// It ran longer than it may; its main tasks end as failed.
    pub timed_out: bool,
    /// When a main task started first. Kept only where `max_run` counts from it.
    pub main_started: Option<BootTime>,
    /// When all but the poststop tasks had ended: from then on those are on the clock.
    pub poststop_since: Option<BootTime>,
}

impl Course {
    /// Returns what is remembered when the machine has booted since: what counts time counts anew. Nothing ran while the machine
    /// was down, and how long that was no clock of this boot can tell.
    #[must_use]
    pub fn after_reboot(self, now: BootTime) -> Self {
        let anew = |since: Option<BootTime>| since.map(|_| now);
        Self { main_started: anew(self.main_started), poststop_since: anew(self.poststop_since), ..self }
    }
}
