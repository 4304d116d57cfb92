//! Settings change.

use proto::ids::{JobKey, JobVersion};
use proto::model::{EventKind, Subject};

use crate::core::state::events::Fact;
use crate::core::state::{Changes, Outcome, Setting, SettingChange, Settings, State};

impl State {
    /// Replaces all of them.
    pub(super) fn put_settings(&mut self, settings: Settings) -> Outcome {
        self.settings = settings;
        // A server that starts from a snapshot forgets what is beyond the bound: so does everybody at once.
        self.events.trim(self.settings.events_per_subject);
        Outcome::Done
    }

    /// Changes those that are named. What they are already changes nothing; one that cannot be so refuses all.
    pub(super) fn set_settings(
        &mut self,
        list: &[SettingChange],
        actor: &str,
        changes: &mut Changes,
    ) -> Outcome {
        let after = match self.settings.changed(list) {
            Ok(after) => after,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let before = self.settings.clone();
        self.put_settings(after);
        if before.preemption != self.settings.preemption {
            // What waits for room may find some now.
            changes.jobs.extend(self.waiting_jobs());
        }
        for setting in Setting::ALL {
            let (was, is) = (setting.of(&before), setting.of(&self.settings));
            if was != is {
                let said = format!("setting {} was changed from {was} to {is} by {actor}", setting.name());
                self.record(changes, Fact::info(EventKind::SettingChanged, Subject::default(), said));
            }
        }
        let changed = before != self.settings;
        Outcome::Written { changed, version: JobVersion(0), revision: self.at() }
    }

    fn waiting_jobs(&self) -> Vec<JobKey> {
        let waits = self.jobs.iter().filter(|(_, job)| job.groups.values().any(|group| group.wait.is_some()));
        waits.map(|(key, _)| key.clone()).collect()
    }
}
